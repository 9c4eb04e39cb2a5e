// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A directory is trusted if only the user who runs this can have made it.
func TestOpenDir(t *testing.T) {
	mkdir := func(path string, mode os.FileMode) {
		must(t, os.MkdirAll(path, 0o755))
		must(t, os.Chmod(path, mode))
	}
	for _, test := range []struct {
		name  string
		root  bool
		setup func(base string) (path string)
		want  string // of the error; nothing if there is to be none
	}{
		{"one's own", false, func(b string) string { mkdir(b+"/c", 0o755); return b + "/c" }, ""},
		{"private", false, func(b string) string { mkdir(b+"/c", 0o700); return b + "/c" }, ""},
		{"a slash behind", false, func(b string) string { mkdir(b+"/c", 0o755); return b + "/c/" }, ""},
		{"absent", false, func(b string) string { return b + "/x/y/c" }, ""},
		{"relative", false, func(b string) string { t.Chdir(b); return "c" }, ""},
		{"the group may write", false, func(b string) string { mkdir(b+"/c", 0o775); return b + "/c" }, "/c: others may write to it (mode 0775)"},
		{"all may write", false, func(b string) string { mkdir(b+"/c", 0o757); return b + "/c" }, "/c: others may write to it (mode 0757)"},
		{"all may write, sticky", false, func(b string) string { mkdir(b+"/c", 0o777|os.ModeSticky); return b + "/c" }, "/c: others may write to it (mode 01777)"},
		{"a stranger's", true, func(b string) string { mkdir(b+"/c", 0o755); must(t, os.Chown(b+"/c", otherUser, 0)); return b + "/c" }, "/c: belongs to user 65534"},
		{"a stranger's group", true, func(b string) string { mkdir(b+"/c", 0o755); must(t, os.Chown(b+"/c", 0, otherUser)); return b + "/c" }, ""},
		{"a link", false, func(b string) string { mkdir(b+"/d", 0o755); must(t, os.Symlink("d", b+"/c")); return b + "/c" }, "/c: not a directory"},
		{"a link to nothing", false, func(b string) string { must(t, os.Symlink("d", b+"/c")); return b + "/c" }, "/c: not a directory"},
		{"a file", false, func(b string) string { must(t, os.WriteFile(b+"/c", nil, 0o644)); return b + "/c" }, "/c: not a directory"},
		{"below a file", false, func(b string) string { must(t, os.WriteFile(b+"/f", nil, 0o644)); return b + "/f/c" }, "not a directory"},
		{"behind a link", false, func(b string) string { mkdir(b+"/d", 0o755); must(t, os.Symlink("d", b+"/l")); return b + "/l/c" }, ""},
		{"behind a link to nothing", false, func(b string) string { must(t, os.Symlink("d", b+"/l")); return b + "/l/c" }, "not a directory"},
		{"behind links in a circle", false, func(b string) string { must(t, os.Symlink("l", b+"/l")); return b + "/l/c" }, "too many links"},
		{"below where all may write", false, func(b string) string { mkdir(b+"/o", 0o777); mkdir(b+"/o/c", 0o755); return b + "/o/c" }, "/o: others may write to it (mode 0777)"},
		{"below where the group may write", false, func(b string) string { mkdir(b+"/o/p/c", 0o755); mkdir(b+"/o", 0o775); return b + "/o/p/c" }, ""},
		{"below a sticky one", false, func(b string) string { mkdir(b+"/o", 0o777|os.ModeSticky); return b + "/o/c" }, ""},
		{"below a stranger's", true, func(b string) string {
			mkdir(b+"/o/p/c", 0o755)
			must(t, os.Chown(b+"/o", otherUser, 0))
			return b + "/o/p/c"
		}, "/o: belongs to user 65534"},
		{"below a stranger's in a sticky one", true, func(b string) string {
			mkdir(b+"/s/o", 0o755)
			mkdir(b+"/s", 0o777|os.ModeSticky)
			must(t, os.Chown(b+"/s/o", otherUser, 0))
			return b + "/s/o/c"
		}, "/s/o: belongs to user 65534"},
		{"behind a link to below a stranger's", true, func(b string) string {
			mkdir(b+"/o/c", 0o755)
			must(t, os.Chown(b+"/o", otherUser, 0))
			must(t, os.Symlink("o/c", b+"/l"))
			return b + "/l/d"
		}, "/o: belongs to user 65534"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.root {
				needRoot(t)
			}
			base := t.TempDir()
			path := test.setup(base)
			dir, err := openDir(path)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v, want %s", err, test.want)
				}
				return
			}
			must(t, err)
			var want, got unix.Stat_t
			must(t, unix.Stat(path, &want))
			must(t, unix.Fstat(int(dir.Fd()), &got))
			if got.Ino != want.Ino || got.Dev != want.Dev || !filepath.IsAbs(dir.Name()) {
				t.Errorf("%s is another directory", dir.Name())
			}
		})
	}
}

// Directories are made with the mode of the XDG base directory specification, and the
// last one so that everyone may read it, whatever the umask.
func TestOpenDirMakes(t *testing.T) {
	for _, umask := range []int{0, 0o022} {
		base := t.TempDir()
		old := unix.Umask(umask)
		_, err := openDir(base + "/x/y/c")
		unix.Umask(old)
		must(t, err)
		for path, want := range map[string]os.FileMode{"/x": 0o700, "/x/y": 0o700, "/x/y/c": 0o755} {
			if st, err := os.Stat(base + path); err != nil || st.Mode().Perm() != want {
				t.Errorf("%s: %v (%v), want %v", path, st.Mode(), err, want)
			}
		}
	}
}

// A file is used if nobody else can have written it and opening finds no damage. Else
// it is put aside, and written again.
func TestFile(t *testing.T) {
	archive, hash := archiveOf(t, 0)
	other, otherHash := archiveOf(t, 1)
	for _, test := range []struct {
		name  string
		root  bool
		spoil func(file string) error
		want  string // of the warning; nothing if it is to be used
	}{
		{"as it is", false, func(string) error { return nil }, ""},
		{"private", false, func(f string) error { return os.Chmod(f, 0o600) }, ""},
		{"read-only", false, func(f string) error { return os.Chmod(f, 0o444) }, ""},
		{"the group may write", false, func(f string) error { return os.Chmod(f, 0o664) }, "others may write to it (mode 0664)"},
		{"all may write", false, func(f string) error { return os.Chmod(f, 0o646) }, "others may write to it (mode 0646)"},
		{"a stranger's", true, func(f string) error { return os.Chown(f, otherUser, 0) }, "belongs to user 65534"},
		{"a link", false, func(f string) error { os.Rename(f, f+"x"); return os.Symlink(f+"x", f) }, "too many levels of symbolic links"},
		{"a link to nothing", false, func(f string) error { os.Remove(f); return os.Symlink("nowhere", f) }, "too many levels of symbolic links"},
		{"a FIFO", false, func(f string) error { os.Remove(f); return unix.Mkfifo(f, 0o644) }, "not a regular file"},
		{"a directory", false, func(f string) error { os.Remove(f); return os.Mkdir(f, 0o755) }, "not a regular file"},
		{"a device", true, func(f string) error { os.Remove(f); return unix.Mknod(f, unix.S_IFCHR|0o644, 0x0103) }, "not a regular file"},
		{"a socket", false, func(f string) error { os.Remove(f); return unix.Mknod(f, unix.S_IFSOCK|0o644, 0) }, "no such device or address"},
		{"empty", false, func(f string) error { return os.Truncate(f, 0) }, "cut short"},
		{"cut short", false, func(f string) error { return os.Truncate(f, 200_000) }, "no seek table at the end"},
		{"longer", false, func(f string) error { return appendTo(f, "x") }, "no seek table at the end"},
		{"damaged index", false, func(f string) error { return flip(f, -300) }, "index: checksum does not match"},
		{"damaged seek table", false, func(f string) error { return flip(f, -21) }, "checksum of the seek table does not match"},
		{"of another archive", false, func(f string) error {
			return os.Rename(filepath.Join(filepath.Dir(f), fileName(otherHash)), f)
		}, "made from another archive than its name says"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.root {
				needRoot(t)
			}
			dir, w := filepath.Join(t.TempDir(), "c"), &warnings{}
			use(t, dir, other, w)
			tree, hit, _ := use(t, dir, archive, w)
			checkTree(t, tree, archive)
			if w.check(t, ""); hit {
				t.Fatal("used before there was one")
			}
			file := filepath.Join(dir, fileName(hash))
			must(t, test.spoil(file))
			tree, hit, _ = use(t, dir, archive, w)
			w.check(t, test.want)
			checkTree(t, tree, archive)
			if hit != (test.want == "") {
				t.Errorf("used: %v", hit)
			}
			if _, err := os.Lstat(file + bad); (err == nil) == hit {
				t.Errorf("put aside: %v", err)
			}
			if test.want != "" {
				if st, err := os.Lstat(file); err != nil || st.Mode() != 0o644 {
					t.Errorf("not written again: %v", err)
				}
			}
			tree, hit, _ = use(t, dir, archive, w)
			checkTree(t, tree, archive)
			if w.check(t, ""); !hit {
				t.Error("the new file is not used")
			}
		})
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// flip changes a byte of a file in its place; a negative offset is from the end.
func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if at < 0 {
		at += st.Size()
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	return err
}
