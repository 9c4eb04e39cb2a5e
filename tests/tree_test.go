// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// forms makes, of an archive, all that can be a SOURCE, under the given names.
func forms(t *testing.T, archive string) map[string]string {
	need.Command(t, "gcc", "ld", "strip", "gzip", "xz", "zstd")
	dir := t.TempDir()
	check(t, output(exec.Command("./forms.sh", archive, dir)))
	entries, err := os.ReadDir(dir)
	check(t, err)
	paths := map[string]string{}
	for _, e := range entries {
		paths[e.Name()] = filepath.Join(dir, e.Name())
	}
	return paths
}

// TestForms mounts the stock archive in every form, and finds the tree that
// tar makes of it.
func TestForms(t *testing.T) {
	t.Parallel()
	archive, want := stockArchive(t), stockTree(t)
	for name, path := range forms(t, archive) {
		t.Run(name, func(t *testing.T) {
			compareTrees(t, mount(t, path), want)
		})
	}
}

// TestTree compares a mount of the small tree, which has every kind of file.
func TestTree(t *testing.T) {
	tree := smallTree(t)
	formats := []string{"gnu", "pax", "ustar", "oldgnu"}
	if testing.Short() {
		formats = formats[:1]
	}
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			archive := filepath.Join(t.TempDir(), "a.tar.xz")
			check(t, output(exec.Command("tar", "-C", tree, "--format="+format, "-cJf", archive, ".")))
			mnt := mount(t, archive)
			compareTrees(t, mnt, tree)
			// testing/fstest.TestFS cannot handle a dangling link.
			include := os.DirFS(filepath.Join(mnt, "include"))
			if err := fstest.TestFS(include, "linux/kconfig.h", "hard.h", "generated/link.h"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInodes finds the same inode numbers at each mount.
func TestInodes(t *testing.T) {
	archive := stockArchive(t)
	inodes := func() map[string]uint64 {
		mnt := mount(t, archive)
		all := map[string]uint64{}
		check(t, filepath.WalkDir(mnt, func(path string, _ fs.DirEntry, err error) error {
			check(t, err)
			var st syscall.Stat_t
			check(t, syscall.Lstat(path, &st))
			all[strings.TrimPrefix(path, mnt)] = st.Ino
			return nil
		}))
		return all
	}
	first, second := inodes(), inodes()
	for path, ino := range first {
		if second[path] != ino {
			t.Fatalf("%s: inode %d, and %d at the next mount", path, ino, second[path])
		}
	}
}

// TestReaders reads with many goroutines at once from a program built to find data
// races, on one processor and on all.
func TestReaders(t *testing.T) {
	needMounts(t)
	need.Command(t, "gcc")
	tree := stockTree(t)
	archive := pack(t, filepath.Join(tree, "include"), "-0")
	for _, procs := range []string{"GOMAXPROCS=1", "GOMAXPROCS=4"} {
		t.Run(procs, func(t *testing.T) {
			mnt := mountpoint(t)
			report := filepath.Join(t.TempDir(), "race")
			cmd := exec.Command(kheadersfsRace(t), "--no-cache", archive, mnt)
			cmd.Env = append(os.Environ(), procs, "GORACE=log_path="+report)
			if _, stderr, status := runCmd(t, cmd); status != 0 {
				t.Fatal(stderr)
			}
			pid := daemon(mnt)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := output(exec.Command("diff", "-r", mnt, filepath.Join(tree, "include"))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			check(t, unix.Unmount(mnt, 0))
			waitGone(t, pid)
			if files, _ := filepath.Glob(report + "*"); len(files) > 0 {
				text, _ := os.ReadFile(files[0])
				t.Errorf("%s", text)
			}
		})
	}
}

// TestUses runs the programs that people run on a tree.
func TestUses(t *testing.T) {
	tree := smallTree(t)
	mnt := mount(t, pack(t, tree))
	t.Run("exec", func(t *testing.T) {
		out, err := exec.Command(filepath.Join(mnt, "bin/script")).Output()
		if err != nil || string(out) != "it runs\n" {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("noexec", func(t *testing.T) {
		mnt := mount(t, pack(t, tree), "-o", "noexec")
		if err := exec.Command(filepath.Join(mnt, "bin/script")).Run(); err == nil {
			t.Error("runs")
		}
	})
	t.Run("mmap", func(t *testing.T) {
		f, err := os.Open(filepath.Join(mnt, "include/big.h"))
		check(t, err)
		defer f.Close()
		want, err := os.ReadFile(filepath.Join(tree, "include/big.h"))
		check(t, err)
		got, err := unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ, unix.MAP_PRIVATE)
		check(t, err)
		defer unix.Munmap(got)
		if !bytes.Equal(got, want) {
			t.Error("other bytes")
		}
	})
	t.Run("overlay", func(t *testing.T) {
		// An overlay over an overlay, as in a container on a container's host.
		lower := mnt
		for range 2 {
			dir, work := t.TempDir(), t.TempDir()
			check(t, unix.Mount("tmpfs", work, "tmpfs", 0, ""))
			defer unix.Unmount(work, unix.MNT_DETACH)
			check(t, os.Mkdir(filepath.Join(work, "u"), 0o755))
			check(t, os.Mkdir(filepath.Join(work, "w"), 0o755))
			options := fmt.Sprintf("lowerdir=%s,upperdir=%s/u,workdir=%s/w", lower, work, work)
			err := unix.Mount("overlay", dir, "overlay", 0, options)
			check(t, err)
			defer unix.Unmount(dir, unix.MNT_DETACH)
			check(t, output(exec.Command("diff", "-r", "--no-dereference", dir, tree)))
			lower = dir
		}
		check(t, os.WriteFile(filepath.Join(lower, "include/linux/types.h"), []byte("new"), 0o644))
		compareTrees(t, mnt, tree)
	})
	t.Run("bind", func(t *testing.T) {
		dir := t.TempDir()
		check(t, unix.Mount(filepath.Join(mnt, "include"), dir, "", unix.MS_BIND, ""))
		defer unix.Unmount(dir, unix.MNT_DETACH)
		compareTrees(t, dir, filepath.Join(tree, "include"))
	})
	t.Run("offsets", func(t *testing.T) {
		d, err := os.Open(filepath.Join(mnt, "include"))
		check(t, err)
		defer d.Close()
		all, err := d.Readdirnames(-1)
		check(t, err)
		_, err = d.Seek(0, 0)
		check(t, err)
		var again []string
		for range all {
			one, err := d.Readdirnames(1)
			check(t, err)
			again = append(again, one...)
		}
		if strings.Join(all, "\n") != strings.Join(again, "\n") {
			t.Errorf("%q, then %q", all, again)
		}
	})
}

// TestReadOnly tries every system call that modifies, on the mount as it is and after
// root has remounted it read-write, which FUSE allows.
func TestReadOnly(t *testing.T) {
	mnt := mount(t, pack(t, smallTree(t)))
	file, dir := filepath.Join(mnt, "include/linux/types.h"), filepath.Join(mnt, "void")
	absent := filepath.Join(mnt, "absent")
	now := []unix.Timespec{{Sec: 1}, {Sec: 1}}
	write := func(flags int) error {
		fd, err := unix.Open(file, flags, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte("x"))
		return err
	}
	calls := map[string]func() error{
		"create":           func() error { _, err := unix.Open(absent, unix.O_CREAT|unix.O_WRONLY, 0o644); return err },
		"tmpfile":          func() error { _, err := unix.Open(mnt, unix.O_TMPFILE|unix.O_RDWR, 0o644); return err },
		"write":            func() error { return write(unix.O_WRONLY) },
		"append":           func() error { return write(unix.O_RDWR | unix.O_APPEND) },
		"open to truncate": func() error { return write(unix.O_WRONLY | unix.O_TRUNC) },
		"truncate":         func() error { return unix.Truncate(file, 1) },
		"mkdir":            func() error { return unix.Mkdir(absent, 0o755) },
		"mknod":            func() error { return unix.Mknod(absent, unix.S_IFIFO|0o644, 0) },
		"unlink":           func() error { return unix.Unlink(file) },
		"rmdir":            func() error { return unix.Rmdir(dir) },
		"rename":           func() error { return unix.Rename(file, absent) },
		"exchange": func() error {
			return unix.Renameat2(unix.AT_FDCWD, file, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
		},
		"link":         func() error { return unix.Link(file, absent) },
		"symlink":      func() error { return unix.Symlink("x", absent) },
		"chmod":        func() error { return unix.Chmod(file, 0o600) },
		"chown":        func() error { return unix.Lchown(file, 1, 1) },
		"utimes":       func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, file, now, 0) },
		"set xattr":    func() error { return unix.Setxattr(file, "user.x", []byte("y"), 0) },
		"remove xattr": func() error { return unix.Removexattr(file, "user.x") },
	}
	for _, remounted := range []bool{false, true} {
		if remounted {
			// By the old system call: a newer mount(8) does it in a way that FUSE refuses.
			check(t, unix.Mount("", mnt, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, ""))
		}
		for name, call := range calls {
			want := unix.EROFS
			if name == "tmpfile" && remounted {
				want = unix.ENOTSUP // FUSE has TMPFILE since Linux 6.2, and go-fuse 2.11 has not
			}
			if err := call(); err != want {
				t.Errorf("%s, remounted %v: %v instead of %v", name, remounted, err, want)
			}
		}
	}
	time.Sleep(10 * time.Millisecond)
	if _, err := os.ReadFile(file); err != nil {
		t.Error(err)
	}
}
