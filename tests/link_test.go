// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
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

// runningArchive returns an archive of a tree, which is changed to be of the running kernel.
func runningArchive(t testing.TB, tree string, xzArgs ...string) string {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(tree, "include/generated/utsrelease.h"), fmt.Appendf(nil, "#define UTS_RELEASE %q\n", uname(t)), 0o644))
	return pack(t, tree, xzArgs...)
}

// TestLink makes the link by which bcc and bpftrace find the headers, and removes it.
func TestLink(t *testing.T) {
	needMount8(t)
	need.Command(t, "make", "tar", "pgrep")
	tree := smallTree(t)
	other := pack(t, tree)
	archive := runningArchive(t, tree)
	eachIn(t, "link.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "OTHER="+other, "MNT="+mountpoint(t), "DIR="+worldReadable(t), "LC_ALL=C")
	})
}

// TestLinkDKMS installs and removes a module of DKMS and a kernel while there is a link.
func TestLinkDKMS(t *testing.T) {
	needMount8(t)
	need.Command(t, "dkms", "dpkg", "apt-get", "make", "gcc", "pahole")
	need.That(t, runtime.GOARCH == "amd64", "an amd64 machine")
	filesystems := string(content(t, "/proc/filesystems"))
	need.That(t, strings.Contains(filesystems, "\toverlay\n") || exec.Command("modprobe", "overlay").Run() == nil, "overlayfs")
	headers := kernelHeaders(t)
	module, err := exec.Command("./package.sh", "acpi-call-dkms", "out/packages").Output()
	need.That(t, err == nil, "Debian's package acpi-call-dkms: %v", err)
	full := filepath.Join(worldReadable(t), "full.tar")
	check(t, output(exec.Command("./kbuild-archive.sh", full, uname(t))))
	lean := runningArchive(t, smallTree(t))
	eachIn(t, "link-dkms.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "EXE="+kheadersfs(t), "LEAN="+lean, "FULL="+full, "HEADERS="+headers,
			"PACKAGE="+strings.TrimSpace(string(module)), "MNT="+mountpoint(t), "DIR="+worldReadable(t), "LC_ALL=C")
	})
}

// TestLinkClients has bcc and bpftrace find the headers by the link.
func TestLinkClients(t *testing.T) {
	needMount8(t)
	need.Command(t, "bpftrace", "timeout")
	need.That(t, exec.Command("/usr/bin/python3", "-c", "import bcc").Run() == nil, "Debian's python3-bpfcc")
	tree := filepath.Join(t.TempDir(), "tree")
	check(t, untar(stockArchive(t), tree))
	archive := runningArchive(t, tree, "-0")
	eachIn(t, "link-clients.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "MNT="+mountpoint(t), "DIR="+worldReadable(t), "LC_ALL=C")
	})
}
