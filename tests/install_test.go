// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestInstall installs below a directory, as packages do, and removes it again.
func TestInstall(t *testing.T) {
	need.Command(t, "make", "install")
	dir := t.TempDir()
	run := func(target string) {
		check(t, output(exec.Command("make", "-C", "..", target, "DESTDIR="+dir, "PREFIX=/usr", "SBINDIR=/usr/sbin")))
	}
	run("install")
	check(t, output(exec.Command(filepath.Join(dir, "usr/bin/kheadersfs"), "--version")))
	for _, name := range []string{
		"man/man5/kheadersfs-archive.5", "man/man8/kheadersfs.8", "pkgconfig/kheaders.pc",
		"bash-completion/completions/kheadersfs", "zsh/site-functions/_kheadersfs", "fish/vendor_completions.d/kheadersfs.fish",
	} {
		if b := content(t, filepath.Join(dir, "usr/share", name)); len(b) < 300 {
			t.Errorf("%s has %d bytes", name, len(b))
		}
	}
	for _, name := range []string{"mount.kheadersfs", "mount.fuse.kheadersfs"} {
		if to, err := os.Readlink(filepath.Join(dir, "usr/sbin", name)); to != "/usr/bin/kheadersfs" {
			t.Errorf("%s: %q, %v", name, to, err)
		}
	}
	t.Run("tmpfiles", func(t *testing.T) {
		needRoot(t)
		need.Command(t, "systemd-tmpfiles")
		check(t, output(exec.Command("systemd-tmpfiles", "--root="+dir, "--create", "kheadersfs.conf")))
		st, err := os.Stat(filepath.Join(dir, "var/cache/kheadersfs"))
		check(t, err)
		if st.Mode() != os.ModeDir|0o755 {
			t.Errorf("the directory of the cache: %v", st.Mode())
		}
	})
	run("uninstall")
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s is left", path)
		}
		return err
	}))
}
