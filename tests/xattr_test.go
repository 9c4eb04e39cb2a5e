// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// mountLogged mounts an archive in the foreground. It returns the mount point, and
// a function that counts the requests of the kernel so far that match a regular
// expression, as --debug logs them: "READ n5 {Fh 0 [0 +4096) ...".
func mountLogged(t testing.TB, archive string) (mnt string, requests func(expr string) int) {
	t.Helper()
	mnt, log := mountLog(t, archive)
	return mnt, func(expr string) int {
		return len(regexp.MustCompile(`: rx \d+: `+expr).FindAll(content(t, log), -1))
	}
}

// mountLog is mountLogged with the whole log, a file.
func mountLog(t testing.TB, archive string) (mnt, path string) {
	t.Helper()
	needMounts(t)
	mnt = mountpoint(t)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	check(t, err)
	defer log.Close()
	cmd := exec.Command(kheadersfs(t), "-f", "-v", "--debug", "--no-cache", archive, mnt)
	cmd.Stderr = log
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(t, "the mount", func() bool {
		return strings.Contains(string(content(t, log.Name())), "mounted on")
	})
	return mnt, log.Name()
}

// TestXattrs asks for extended attributes, of which there are none. A list is
// empty, as on the filesystems of the kernel, and costs one request: "not
// supported" had GNU tar --xattrs warn once for each file. The kernel asks for a
// value once only, since the answer is ENOSYS.
func TestXattrs(t *testing.T) {
	mnt, requests := mountLogged(t, smallArchive(t))
	entries := 0
	check(t, filepath.WalkDir(mnt, func(path string, _ fs.DirEntry, err error) error {
		entries++
		for _, size := range []int{0, 1, 64 << 10} {
			if n, err := unix.Llistxattr(path, make([]byte, size)); n != 0 || err != nil {
				t.Fatalf("%s: list of %d bytes, %v, into a buffer of %d", path, n, err, size)
			}
		}
		if _, err := unix.Lgetxattr(path, "trusted.x", make([]byte, 100)); err != unix.ENOTSUP {
			t.Fatalf("%s: value: %v", path, err)
		}
		return err
	}))
	if lists, values := requests("LISTXATTR"), requests("GETXATTR"); lists != 3*entries || values != 1 {
		t.Errorf("%d requests for a list and %d for a value, of %d entries", lists, values, entries)
	}

	for _, client := range [][]string{
		{"getfattr", "-R", "-P", "-h", "-d", "-m", "-", mnt},
		{"tar", "--xattrs", "--xattrs-include=*", "-cf", "/dev/null", "-C", mnt, "."},
		{"python3", "-c", `import os, sys
for path, dirs, files in os.walk(sys.argv[1]):
    for name in [".", *files]: print(*os.listxattr(os.path.join(path, name), follow_symlinks=False), end="")`, mnt},
	} {
		t.Run(client[0], func(t *testing.T) {
			need.Command(t, client[0])
			before := requests("LISTXATTR")
			out, err := exec.Command(client[0], client[1:]...).CombinedOutput()
			if err != nil || len(out) != 0 {
				t.Errorf("%v:\n%.1000s", err, out)
			}
			if n := requests("LISTXATTR") - before; n == 0 || n > entries {
				t.Errorf("%d requests for %d entries", n, entries)
			}
		})
	}
	if n := requests("GETXATTR"); n != 1 {
		t.Errorf("%d requests for a value", n)
	}
}
