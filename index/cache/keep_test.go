// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// Everyone may read a new cache file, nobody has it open for writing, and the tree
// reads from it.
func TestPut(t *testing.T) {
	archive, hash := archiveOf(t, 0)
	dir, w := filepath.Join(t.TempDir(), "c"), &warnings{}
	tree, _, _ := use(t, dir, archive, w)
	checkTree(t, tree, archive)
	w.check(t, "")
	checkNames(t, dir, fileName(hash))
	file := filepath.Join(dir, fileName(hash))
	if st, err := os.Stat(file); err != nil || st.Mode() != 0o644 {
		t.Errorf("mode %v (%v)", st.Mode(), err)
	}
	b, err := os.ReadFile(file)
	must(t, err)
	if err := index.Verify(bytes.NewReader(b), int64(len(b))); err != nil {
		t.Error(err)
	}
	// With a file open for writing, the filesystem can't be remounted read-only.
	for _, fd := range openFDs(t, file) {
		info, err := os.ReadFile("/proc/self/fdinfo/" + fd)
		must(t, err)
		_, rest, _ := strings.Cut(string(info), "flags:\t")
		octal, _, _ := strings.Cut(rest, "\n")
		flags, err := strconv.ParseInt(octal, 8, 64)
		must(t, err)
		if flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_CLOEXEC == 0 {
			t.Errorf("descriptor %s of %s: flags %#o", fd, file, flags)
		}
	}
	checkTree(t, tree, archive)
}

func openFDs(t testing.TB, file string) (fds []string) {
	t.Helper()
	for _, fd := range names(t, "/proc/self/fd") {
		if to, _ := os.Readlink("/proc/self/fd/" + fd); to == file {
			fds = append(fds, fd)
		}
	}
	if len(fds) == 0 {
		t.Errorf("%s is not open", file)
	}
	return fds
}

// prune keeps the eight files that were used last. It removes files that were put
// aside first, unfinished files unless they are locked, and no other files.
func TestPrune(t *testing.T) {
	hex := func(i int) string { return fmt.Sprintf("%064x", i) }
	name := func(i int) string { return hex(i) + suffix }
	now := time.Now()
	ages := map[string]time.Duration{ // oldest last
		name(2): 2 * time.Minute, name(3): 3 * time.Minute, name(4) + bad: 4 * time.Minute, hex(5) + ".v2.tar.zst": 5 * time.Minute,
		name(6): 6 * time.Minute, name(7): 7 * time.Minute, name(8) + bad: 8 * time.Minute, name(9): 9 * time.Minute, name(10): 10 * time.Minute,
		"." + name(11) + ".KILLED":  time.Minute,
		"." + name(11) + ".WRITING": 2 * time.Hour,
		"README":                    90 * time.Hour, ".hidden": 90 * time.Hour, "." + name(12): 90 * time.Hour, hex(13) + ".tar.zst": 90 * time.Hour,
		name(14) + ".": 90 * time.Hour, "." + hex(15) + ".v1.tar.xz.OLD": 90 * time.Hour, hex(1)[1:] + suffix: 90 * time.Hour,
	}
	dir, w := t.TempDir(), &warnings{}
	for name, age := range ages {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644))
		must(t, os.Chtimes(filepath.Join(dir, name), now, now.Add(-age)))
	}
	writing, err := os.Open(filepath.Join(dir, "."+name(11)+".WRITING"))
	must(t, err)
	defer writing.Close()
	must(t, unix.Flock(int(writing.Fd()), unix.LOCK_EX))
	archive, hash := archiveOf(t, 0)
	use(t, dir, archive, w)
	w.check(t, "")
	want := []string{fileName(hash)}
	for name := range ages {
		if !slices.Contains([]string{"." + hex(11) + suffix + ".KILLED", hex(4) + suffix + bad, hex(8) + suffix + bad}, name) {
			want = append(want, name)
		}
	}
	checkNames(t, dir, want...)

	// A file that is used becomes the last to be removed.
	file := filepath.Join(dir, fileName(hash))
	must(t, os.Chtimes(file, now, now.Add(-50*time.Hour)))
	if _, hit, _ := use(t, dir, archive, w); !hit {
		t.Error("not used")
	}
	if st, err := os.Stat(file); err != nil || st.ModTime().Before(now) {
		t.Errorf("used, and its time is %v (%v)", st.ModTime(), err)
	}
	other, otherHash := archiveOf(t, 1)
	use(t, dir, other, w)
	w.check(t, "")
	want = append(slices.DeleteFunc(want, func(n string) bool { return n == name(10) }), fileName(otherHash))
	checkNames(t, dir, want...)
}

func TestIsOurs(t *testing.T) {
	hash := strings.Repeat("0123456789abcdef", 4)
	for name, want := range map[string]bool{
		hash + ".v1.tar.zst":            true,
		hash + ".v1.tar.zst.bad":        true,
		hash + ".v2.tar.zst":            true,
		hash + ".v10.tar.zst":           true,
		hash + ".v1.tar.zst.bad.bad":    false,
		hash + ".v1.tar.xz":             false,
		hash + ".tar.zst":               false,
		hash + ".x1.tar.zst":            false,
		hash + "":                       false,
		hash + ".bad":                   false,
		hash[1:] + ".v1.tar.zst":        false,
		hash + "0.v1.tar.zst":           false,
		"x" + hash[1:] + ".v1.tar.zst":  false,
		"." + hash + ".v1.tar.zst":      false,
		"." + hash + ".v1.tar.zst.TEMP": false,
		".v1.tar.zst":                   false,
		"":                              false,
		".bad":                          false,
	} {
		if isOurs(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

// Without space, or without a writable directory, there is one warning, and the tree
// stays in memory.
func TestPutFails(t *testing.T) {
	needRoot(t)
	archive, _ := archiveOf(t, 0)
	tmpfs := func(t *testing.T, dir, options string) {
		must(t, unix.Mount("none", dir, "tmpfs", 0, options))
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"no space":  {func(t *testing.T, dir string) { tmpfs(t, dir, "mode=755,size=64k") }, ": no space left on device"},
		"no inodes": {func(t *testing.T, dir string) { tmpfs(t, dir, "mode=755,nr_inodes=1") }, ": no space left on device"},
		"read-only": {func(t *testing.T, dir string) { tmpfs(t, dir, "mode=755,ro") }, ": read-only file system"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, w := t.TempDir(), &warnings{}
			test.spoil(t, dir)
			before := names(t, dir)
			tree, hit, _ := use(t, dir, archive, w)
			if w.check(t, test.want); hit {
				t.Error("used")
			}
			checkNames(t, dir, before...)
			checkTree(t, tree, archive)
		})
	}
	t.Run("directory removed", func(t *testing.T) {
		dir, w := filepath.Join(t.TempDir(), "c"), &warnings{}
		c := New(dir, archive, w.add)
		f := parse(t, archive)
		if tree, err := c.Tree(f); tree != nil || err != nil {
			t.Fatalf("%v, %v", tree, err)
		}
		tree, err := f.Decode()
		must(t, err)
		must(t, os.Remove(dir))
		c.Keep(tree)
		c.Wait()
		w.check(t, "cache file in "+dir)
		checkTree(t, tree, archive)
	})
}

// A file in a filesystem that has become read-only is still used.
func TestReadOnly(t *testing.T) {
	needRoot(t)
	archive, _ := archiveOf(t, 0)
	dir, w := t.TempDir(), &warnings{}
	must(t, unix.Mount("none", dir, "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	use(t, dir, archive, w)
	must(t, unix.Mount("none", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "mode=755"))
	tree, hit, _ := use(t, dir, archive, w)
	if w.check(t, ""); !hit {
		t.Error("not used")
	}
	checkTree(t, tree, archive)
}

// Several Caches can write the same file, and others, at once.
func TestPutAtOnce(t *testing.T) {
	archive, hash := archiveOf(t, 0)
	other, otherHash := archiveOf(t, 1)
	dir, w := filepath.Join(t.TempDir(), "c"), &warnings{}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			a := []string{archive, other}[i%2]
			for range 3 {
				tree, _, _ := use(t, dir, a, w)
				checkTree(t, tree, a)
			}
		})
	}
	wait.Wait()
	w.check(t, "")
	checkNames(t, dir, fileName(hash), fileName(otherHash))
}

// If a read finds that the cache file is damaged, the file is written again from the
// archive, whether this Cache has written or found it.
func TestDamageLater(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"changed":   func(file string) error { return flip(file, 150_000) },
		"cut short": func(file string) error { return os.Truncate(file, 150_000) },
		"emptied":   func(file string) error { return os.Truncate(file, 0) },
	} {
		for _, found := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, found %v", name, found), func(t *testing.T) {
				archive, hash := archiveOf(t, 0)
				dir, w := filepath.Join(t.TempDir(), "c"), &warnings{}
				tree, _, c := use(t, dir, archive, w)
				if found {
					tree, _, c = use(t, dir, archive, w)
				}
				file := filepath.Join(dir, fileName(hash))
				must(t, spoil(file))
				var wait sync.WaitGroup
				for range 4 {
					wait.Go(func() { checkTree(t, tree, archive) })
				}
				wait.Wait()
				c.Wait()
				w.check(t, "cache file "+file+": zstd frame ")
				checkNames(t, dir, fileName(hash), fileName(hash)+bad)
				b, err := os.ReadFile(file)
				must(t, err)
				if err := index.Verify(bytes.NewReader(b), int64(len(b))); err != nil {
					t.Errorf("written again: %v", err)
				}
				openFDs(t, file)
				checkTree(t, tree, archive)
			})
		}
	}
}

// While the archive is missing or another one, only the files in the damaged block
// can't be read.
func TestDamageWithoutArchive(t *testing.T) {
	archive, hash := archiveOf(t, 0)
	other, _ := archiveOf(t, 1)
	dir, w := filepath.Join(t.TempDir(), "c"), &warnings{}
	use(t, dir, archive, w)
	tree, _, c := use(t, dir, archive, w)
	file := filepath.Join(dir, fileName(hash))
	must(t, flip(file, 150_000))
	check := func(want string) {
		t.Helper()
		for i := range 4 {
			id, _ := tree.Find(fmt.Sprintf("d/%d.h", i))
			_, err := tree.ReadAt(id, make([]byte, 100_000), 0)
			if i != 1 && err != nil || i == 1 && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "zstd frame 2 of 4: ")) {
				t.Errorf("file %d: %v", i, err)
			}
		}
		w.check(t, "") // the reader gets the error
		checkNames(t, dir, fileName(hash))
	}
	must(t, os.Rename(archive, archive+".away"))
	check("no such file or directory")
	must(t, os.Symlink(other, archive))
	check(archive + " is another archive now")
	must(t, os.Rename(archive+".away", archive))
	checkTree(t, tree, archive)
	c.Wait()
	w.check(t, "writing it again from "+archive)
}

// A file that is damaged again after it was written again is not used any more:
// the cause would damage it for ever.
func TestDamageAgain(t *testing.T) {
	archive, hash := archiveOf(t, 0)
	dir, w := filepath.Join(t.TempDir(), "c"), &warnings{}
	tree, _, c := use(t, dir, archive, w)
	file := filepath.Join(dir, fileName(hash))
	for _, want := range []string{"writing it again from " + archive, "for the second time: going on without it"} {
		must(t, flip(file, 150_000))
		checkTree(t, tree, archive)
		c.Wait()
		w.check(t, want)
	}
	checkNames(t, dir, fileName(hash), fileName(hash)+bad)
	w.check(t, "")
}

// A start that finds its file also removes the unfinished files of killed starts.
func TestLeftovers(t *testing.T) {
	archive, hash := archiveOf(t, 0)
	dir, w := filepath.Join(t.TempDir(), "c"), &warnings{}
	use(t, dir, archive, w)
	must(t, os.WriteFile(filepath.Join(dir, "."+fileName(hash)+".KILLED"), []byte("x"), 0o644))
	if _, hit, _ := use(t, dir, archive, w); !hit {
		t.Error("not used")
	}
	w.check(t, "")
	checkNames(t, dir, fileName(hash))
}

// Find returns the file of a kernel, and of several files that which was used last.
func TestFind(t *testing.T) {
	dir, w := filepath.Join(t.TempDir(), "c"), &warnings{}
	var files []string
	for i, release := range []string{"6.1", "6.2", "6.1"} {
		archive := filepath.Join(t.TempDir(), "archive.tar.xz")
		tarBytes := tartest.Tar(t, tartest.File("./include/generated/utsrelease.h", fmt.Sprintf("#define UTS_RELEASE \"%s\"\n// %d\n", release, i)))
		must(t, os.WriteFile(archive, tartest.XZ(t, tarBytes, 0), 0o644))
		_, _, c := use(t, dir, archive, w)
		files = append(files, c.File())
		at := time.Now().Add(time.Duration(i-10) * time.Minute)
		must(t, os.Chtimes(c.File(), at, at))
	}
	w.check(t, "")
	must(t, os.WriteFile(filepath.Join(dir, strings.Repeat("0", 64)+suffix), []byte("no cache file"), 0o644))
	c := New(dir, "", w.add)
	for release, want := range map[string]string{"6.1": files[2], "6.2": files[1], "6.3": "", "": ""} {
		if got := c.Find(release); got != want {
			t.Errorf("%q: %s, want %s", release, got, want)
		}
	}
	must(t, os.Chmod(files[2], 0o666))
	if got := c.Find("6.1"); got != files[0] {
		t.Errorf("a file that others may write to is not trusted: %s", got)
	}
	w.check(t, "")
	if got := (*Cache)(nil).Find("6.1"); got != "" {
		t.Error(got)
	}
}
