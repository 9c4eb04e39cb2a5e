// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// flip changes a byte of a file in its place.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	check(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	check(t, err)
}

// checkAnew waits until a cache file has been written again, beside the damaged one.
func checkAnew(t testing.TB, file string) {
	t.Helper()
	dir, name := filepath.Dir(file), filepath.Base(file)
	eventually(t, "a new cache file", func() bool {
		hurry(dir)
		return slices.Equal(namesIn(dir), []string{name, name + ".bad"})
	})
	if _, stderr, status := run(t, "verify", file); status != 0 {
		t.Error(stderr)
	}
}

// filled returns a copy of the stock archive, with its cache file.
func filled(t testing.TB) (archive, dir, file string) {
	t.Helper()
	archive, dir = filepath.Join(worldReadable(t), "archive.tar.xz"), cacheDir(t)
	check(t, output(exec.Command("cp", stockArchive(t), archive)))
	mnt := mount(t, archive, "--cache-dir", dir)
	file = cacheFile(t, dir, daemon(mnt))
	check(t, unix.Unmount(mnt, 0))
	return archive, dir, file
}

// TestCacheDamagedBefore mounts when the cache file is damaged already.
func TestCacheDamagedBefore(t *testing.T) {
	tree, dir := smallTree(t), cacheDir(t)
	archive := pack(t, tree)
	file := cacheFile(t, dir, daemon(mount(t, archive, "--cache-dir", dir)))
	check(t, os.Truncate(file, 1000))
	mnt := mountpoint(t)
	_, stderr, status := run(t, "--cache-dir", dir, archive, mnt)
	want := "kheadersfs: warning: cache file " + file + ": no seek table at the end: cut short, or another file: writing it again\n"
	if status != 0 || stderr != want {
		t.Errorf("exit status %d, %swant %s", status, stderr, want)
	}
	compareTrees(t, mnt, tree)
	checkAnew(t, file)
}

// TestCacheDamagedLater damages a cache file under the mount that wrote it and under
// one that found it: both still read the right bytes.
func TestCacheDamagedLater(t *testing.T) {
	want := stockTree(t)
	archive, dir, file := filled(t)
	for _, found := range []bool{true, false} {
		t.Run(fmt.Sprintf("found %v", found), func(t *testing.T) {
			if !found {
				check(t, os.RemoveAll(dir))
			}
			mnt, log, cmd := serve(t, archive, "--cache-dir", dir)
			cacheFile(t, dir, cmd.Process.Pid)
			size := len(content(t, file))
			flip(t, file, int64(size)/2)
			flip(t, file, int64(size)/3)
			compareTrees(t, mnt, want)
			checkAnew(t, file)
			if got := string(content(t, log)); !strings.HasPrefix(got, "kheadersfs: warning: cache file "+file+": zstd frame ") ||
				!strings.HasSuffix(got, ": writing it again from "+archive+"\n") || strings.Count(got, "\n") != 1 {
				t.Errorf("says %q", got)
			}
		})
	}
}

// TestCacheDamagedWithoutSource: files in a damaged block can't be read while SOURCE
// is gone or something else, all others can, and one line tells why.
func TestCacheDamagedWithoutSource(t *testing.T) {
	want, other := stockTree(t), smallArchive(t)
	archive, dir, file := filled(t)
	check(t, os.Rename(archive, archive+".away"))
	for name, spoil := range map[string]struct {
		do   func() error
		says string
	}{
		"gone":     {func() error { return nil }, "no such file or directory"},
		"replaced": {func() error { return os.Symlink(other, archive) }, archive + " is another archive now"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, os.Rename(archive+".away", archive))
			mnt, log, _ := serve(t, archive, "--cache-dir", dir)
			at := int64(len(content(t, file))) / 2
			flip(t, file, at)
			check(t, os.Rename(archive, archive+".away"))
			check(t, spoil.do())
			bad := readAgainst(t, mnt, want)
			if len(bad) == 0 || len(bad) > 100 {
				t.Errorf("%d files can't be read", len(bad))
			}
			if got := string(content(t, log)); !strings.HasPrefix(got, "kheadersfs: reading ") || strings.Count(got, "\n") != 1 ||
				!strings.Contains(got, "cache file "+file+": zstd frame ") || !strings.Contains(got, spoil.says) {
				t.Errorf("says %q", got)
			}
			os.Remove(archive) // not the one that is away
			flip(t, file, at)
			if bad := readAgainst(t, mnt, want); len(bad) > 0 {
				t.Errorf("the file is whole again, and %q can't be read", bad)
			}
		})
	}
}

// TestCacheReaders reads with many processes while the tree is switched to its file,
// and while that is found damaged, from a program that looks for data races.
func TestCacheReaders(t *testing.T) {
	needMounts(t)
	need.Command(t, "gcc", "diff")
	want := filepath.Join(stockTree(t), "include")
	archive, dir, mnt := pack(t, want, "-0"), cacheDir(t), mountpoint(t)
	report := filepath.Join(t.TempDir(), "race")
	cmd := exec.Command(kheadersfsRace(t), "--cache-dir", dir, archive, mnt)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=4", "GORACE=log_path="+report)
	if _, stderr, status := runCmd(t, cmd); status != 0 {
		t.Fatal(stderr)
	}
	pid := daemon(mnt)
	var wg sync.WaitGroup
	for _, part := range []string{"linux", "net", "uapi", "."} {
		wg.Go(func() {
			if err := output(exec.Command("diff", "-r", filepath.Join(mnt, part), filepath.Join(want, part))); err != nil {
				t.Error(err)
			}
		})
	}
	file := cacheFile(t, dir, pid)
	flip(t, file, int64(len(content(t, file)))/2)
	wg.Wait()
	check(t, unix.Unmount(mnt, 0))
	waitGone(t, pid)
	if files, _ := filepath.Glob(report + "*"); len(files) > 0 {
		t.Errorf("%s", content(t, files[0]))
	}
}

// readAgainst reads all files of a mount, and returns those that give EIO. The
// bytes of all others must be those of a tree.
func readAgainst(t testing.TB, mnt, want string) (bad []string) {
	t.Helper()
	check(t, filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		got, err := os.ReadFile(filepath.Join(mnt, strings.TrimPrefix(path, want)))
		switch {
		case errors.Is(err, syscall.EIO):
			bad = append(bad, path)
		case err != nil || !bytes.Equal(got, content(t, path)):
			t.Errorf("%s: other bytes (%v)", path, err)
		}
		return nil
	}))
	return bad
}
