// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// uname returns the release of the running kernel.
func uname(t testing.TB) string {
	t.Helper()
	var u unix.Utsname
	check(t, unix.Uname(&u))
	return unix.ByteSliceToString(u.Release[:])
}

// TestLink makes the link by which bcc and bpftrace find the headers, and removes it.
func TestLink(t *testing.T) {
	needMount8(t)
	need.Command(t, "make", "tar", "pgrep")
	tree := smallTree(t)
	other := pack(t, tree)
	check(t, os.WriteFile(filepath.Join(tree, "include/generated/utsrelease.h"), fmt.Appendf(nil, "#define UTS_RELEASE %q\n", uname(t)), 0o644))
	archive := pack(t, tree)
	eachIn(t, "link.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "OTHER="+other, "MNT="+mountpoint(t), "DIR="+worldReadable(t), "LC_ALL=C")
	})
}
