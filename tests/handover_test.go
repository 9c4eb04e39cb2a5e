// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestServerKilled kills the server a hundred times while eight readers compare every byte.
// None of them sees an error where the kernel asks again for what the dead server had read.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	mnt := mount(t, stockArchive(t), "--cache-dir", t.TempDir())
	readers := startReaders(t, stockTree(t), mnt)
	for range 100 {
		pid := daemon(mnt)
		holder(t, mnt)
		readers.read(t, 50)
		time.Sleep(500 * time.Millisecond) // or it would count as one that can't serve
		check(t, unix.Kill(pid, unix.SIGKILL))
		waitGone(t, pid)
		eventually(t, "the next server", func() bool { pid = daemon(mnt); return pid != 0 })
	}
	readers.stop(t)
	check(t, unix.Unmount(mnt, 0))
}

// TestReplace has another version of the program take the place of the server twenty times
// while eight readers compare every byte. It stays the same process.
func TestReplace(t *testing.T) {
	needMounts(t)
	exe := filepath.Join(worldReadable(t), "kheadersfs")
	install := func() { // as package managers do
		check(t, output(exec.Command("cp", kheadersfs(t), exe+".new")))
		check(t, os.Rename(exe+".new", exe))
	}
	install()
	mnt := mountpoint(t)
	check(t, output(exec.Command(exe, "--cache-dir", t.TempDir(), stockArchive(t), mnt)))
	pid := daemon(mnt)
	readers := startReaders(t, stockTree(t), mnt)
	for range 20 {
		install()
		readers.read(t, 50)
		check(t, output(exec.Command(exe, "--replace", mnt)))
		var now, then unix.Stat_t
		check(t, unix.Stat(fmt.Sprintf("/proc/%d/exe", daemon(mnt)), &now))
		check(t, unix.Stat(exe, &then))
		if now.Ino != then.Ino || daemon(mnt) != pid {
			t.Errorf("process %d runs inode %d: %d, and before that %d", daemon(mnt), now.Ino, then.Ino, pid)
		}
	}
	readers.stop(t)

	// One that does not work does not take its place.
	check(t, os.Remove(exe))
	check(t, os.Symlink("/bin/false", exe))
	_, stderr, status := run(t, "--replace", mnt)
	if status != 1 || !strings.Contains(stderr, "the server stays as it is: "+exe+": exit status 1") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	check(t, os.Remove(exe))
	if _, err := os.ReadFile(filepath.Join(mnt, "include/linux/sched.h")); err != nil {
		t.Error(err)
	}
	check(t, unix.Unmount(mnt, 0))
	waitGone(t, pid)
}

// TestReplacePushing replaces servers that push files to the kernel: here and there a file is
// read, and its neighbours are pushed.
func TestReplacePushing(t *testing.T) {
	need.Long(t)
	needMounts(t)
	archive := packedArchive(t)
	for range 30 {
		mnt := mount(t, archive)
		pid := daemon(mnt)
		holder(t, mnt)
		var files []string
		check(t, filepath.WalkDir(mnt, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return err
		}))
		rand.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		replaced := make(chan error, 1)
		go func() { replaced <- output(exec.Command(kheadersfs(t), "--replace", mnt)) }()
		for done := false; !done; files = files[1:] {
			if _, err := os.ReadFile(files[0]); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-replaced:
				check(t, err)
				done = true
			case <-time.After(rand.N(6 * time.Millisecond)):
			}
		}
		check(t, unix.Unmount(mnt, 0))
		waitGone(t, pid)
	}
}

// TestReplaceWhat replaces what isn't there, and a server in the foreground.
func TestReplaceWhat(t *testing.T) {
	archive := smallArchive(t)
	mnt := mountpoint(t)
	_, stderr, status := run(t, "--replace", mnt)
	if status != 1 || !strings.Contains(stderr, mnt+": no mount of kheadersfs is on it") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	_, stderr, status = run(t, "--replace", archive, mnt)
	if status != 2 || !strings.Contains(stderr, "--replace takes no SOURCE") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	cmd := foreground(t, "--no-cache", archive, mnt)
	if _, stderr, status := run(t, "--replace", mnt); status != 0 {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	if _, err := os.ReadFile(filepath.Join(mnt, "include/linux/kconfig.h")); err != nil {
		t.Error(err)
	}
	check(t, cmd.Process.Signal(unix.SIGTERM))
	check(t, cmd.Wait())
}

// TestHandoverOrdinary kills and replaces the server of an ordinary user's mount, which
// fusermount3 has made.
func TestHandoverOrdinary(t *testing.T) {
	needRoot(t) // to become another user
	needMounts(t)
	need.Command(t, "fusermount3", "cmp")
	st, err := os.Stat("/dev/fuse")
	need.That(t, err == nil && st.Mode()&0o6 == 0o6, "a /dev/fuse for everybody: %v", err)
	archive, tree, exe := stockArchive(t), stockTree(t), kheadersfs(t)
	mnt := mountpoint(t)
	const user = 65534
	check(t, os.Chown(mnt, user, user))
	asUser := func(args ...string) error {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		return output(cmd)
	}
	check(t, asUser(exe, "--no-cache", archive, mnt))
	defer asUser("fusermount3", "-u", "-z", mnt)
	reads := func(name string) { // not yet read
		t.Helper()
		check(t, asUser("cmp", filepath.Join(tree, name), filepath.Join(mnt, name)))
	}
	reads("include/linux/sched.h")
	for _, name := range []string{"include/linux/zutil.h", "include/net/sock.h", "include/uapi/linux/zorro.h"} {
		pid := daemon(mnt)
		holder(t, mnt)
		check(t, unix.Kill(pid, unix.SIGKILL))
		waitGone(t, pid)
		reads(name)
		eventually(t, "the next server", func() bool { return daemon(mnt) != 0 })
	}
	pid := daemon(mnt)
	check(t, asUser(exe, "--replace", mnt))
	reads("include/xen/xen.h")
	if now := daemon(mnt); now != pid {
		t.Errorf("process %d serves it, not %d", now, pid)
	}
	held := holder(t, mnt)
	check(t, asUser("fusermount3", "-u", mnt))
	waitGone(t, pid)
	waitGone(t, held)
}

// TestOtherTree replaces the archive below a server, which is not replaced then. When it is
// killed the new archive is mounted, by a server that is replaced like any other.
func TestOtherTree(t *testing.T) {
	archive := smallArchive(t)
	mnt := mount(t, archive)
	first := holder(t, mnt)
	other := pack(t, filepath.Dir(archive)) // of a tree with one file
	check(t, os.Rename(other, archive))
	_, stderr, status := run(t, "--replace", mnt)
	if status != 1 || !strings.Contains(stderr, "the tree is another one") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	check(t, unix.Kill(daemon(mnt), unix.SIGKILL))
	eventually(t, "the other tree", func() bool {
		_, err := os.Stat(filepath.Join(mnt, filepath.Base(archive)))
		return err == nil
	})
	waitGone(t, first)
	holder(t, mnt)
	if _, stderr, status := run(t, "--replace", mnt); status != 0 {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	pid := daemon(mnt)
	check(t, unix.Kill(pid, unix.SIGKILL))
	// While its threads are dying, one that has only just started can fail a request.
	eventually(t, "the next server", func() bool { p := daemon(mnt); return p != 0 && p != pid })
	if _, err := os.ReadFile(filepath.Join(mnt, filepath.Base(archive))); err != nil {
		t.Error(err)
	}
	check(t, unix.Unmount(mnt, 0))
}

// TestNoServer takes the archive away from a mount whose server ends: after some tries it
// is detached, so that nobody reads of a transport endpoint.
func TestNoServer(t *testing.T) {
	archive := smallArchive(t)
	mnt := mount(t, archive)
	pid := holder(t, mnt)
	check(t, os.Remove(archive))
	check(t, unix.Kill(daemon(mnt), unix.SIGKILL))
	waitGone(t, pid)
	if isMounted(t, mnt) {
		t.Error("still mounted")
	}
}

// TestHolderEnds ends with the mount, and is small.
func TestHolderEnds(t *testing.T) {
	mnt := mount(t, smallArchive(t))
	pid := holder(t, mnt)
	if kib := rss(t, pid, "RssAnon"); kib > 4096 {
		t.Errorf("takes %d KiB", kib)
	}
	check(t, unix.Kill(daemon(mnt), unix.SIGTERM))
	waitGone(t, pid)

	// A server that ends without unmounting ends its holder too.
	mnt = mount(t, smallArchive(t))
	pid = holder(t, mnt)
	f, err := os.Open(filepath.Join(mnt, "include/big.h"))
	check(t, err)
	defer f.Close()
	check(t, unix.Kill(daemon(mnt), unix.SIGTERM))
	eventually(t, "the mount to go", func() bool { return !isMounted(t, mnt) })
	check(t, unix.Kill(daemon(mnt), unix.SIGTERM))
	waitGone(t, pid)
}

// Readers read the files of a mount again and again, and compare them with a tree.
type readers struct {
	files  []string
	count  atomic.Int64 // of files read
	wg     sync.WaitGroup
	ended  atomic.Bool
	mu     sync.Mutex
	errors []error
}

func startReaders(t testing.TB, tree, mnt string) *readers {
	t.Helper()
	r := &readers{}
	check(t, filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			r.files = append(r.files, strings.TrimPrefix(path, tree+"/"))
		}
		return err
	}))
	t.Cleanup(func() { r.ended.Store(true) })
	for range 8 {
		r.wg.Go(func() {
			for !r.ended.Load() {
				name := r.files[rand.IntN(len(r.files))]
				if err := compare(filepath.Join(tree, name), filepath.Join(mnt, name)); err != nil {
					r.mu.Lock()
					r.errors = append(r.errors, err)
					r.mu.Unlock()
				}
				r.count.Add(1)
			}
		})
	}
	return r
}

// compare compares a file with one on a mount, which is asked for everything that the
// kernel doesn't keep, or would have kept.
func compare(want, path string) error {
	b, err := os.ReadFile(want)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	got := make([]byte, len(b)+1)
	n, err := f.Read(got)
	for n < len(got) && err == nil {
		var m int
		m, err = f.Read(got[n:])
		n += m
	}
	if !bytes.Equal(b, got[:n]) {
		return fmt.Errorf("%s: %d of %d bytes, or others: %v", path, n, len(b), err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	if _, err := os.Stat(fmt.Sprintf("%s.%d", path, rand.Uint64())); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("a name that isn't there: %w", err)
	}
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("listing the directory of %s: %d names, %w", path, len(names), err)
	}
	var st unix.Statfs_t
	return unix.Statfs(path, &st)
}

// read waits until more files have been read.
func (r *readers) read(t testing.TB, files int64) {
	t.Helper()
	start := r.count.Load()
	eventually(t, "files to be read", func() bool { return r.count.Load() > start+files })
}

func (r *readers) stop(t testing.TB) {
	t.Helper()
	r.ended.Store(true)
	r.wg.Wait()
	t.Logf("%d files were compared", r.count.Load())
	for i, err := range r.errors {
		t.Errorf("%d of %d: %v", i+1, len(r.errors), err)
		if i == 9 {
			break
		}
	}
}
