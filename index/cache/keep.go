// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
)

// writeDelay is how long writing waits: after a mount often follows a compilation,
// which needs all processors.
const writeDelay = time.Second

// Keep writes the cache file of a decoded tree, after a second or when Wait is called;
// then the tree reads from the file. Writing takes half a second on a processor, at
// the lowest priority. Several processes may keep the same tree: their files are the
// same. Keep also removes the unfinished files of killed processes.
func (c *Cache) Keep(t *index.Tree) {
	switch {
	case c == nil || c.dir == nil:
	case c.have:
		c.writing.Go(c.prune)
	default:
		c.write(t)
	}
}

// write does what Keep says, in the background.
func (c *Cache) write(t *index.Tree) {
	c.writing.Go(func() {
		select {
		case <-time.After(writeDelay):
		case <-c.stopDelay:
		}
		// The thread ends with this goroutine, so its priority is not restored.
		runtime.LockOSThread()
		unix.Setpriority(unix.PRIO_PROCESS, 0, 19)
		if err := c.put(t); err != nil {
			c.warn("cache file in %s: %v", c.dir.Name(), err)
		}
		// Another thread returns the memory of the tree to the system: all threads may
		// have to wait for that, and this one has the lowest priority.
		go debug.FreeOSMemory()
		c.prune()
	})
}

// Wait ends the delay of Keep, and returns when every write is done.
func (c *Cache) Wait() {
	if c == nil {
		return
	}
	c.stop.Do(func() { close(c.stopDelay) })
	c.writing.Wait()
}

func (c *Cache) put(t *index.Tree) (err error) {
	dir := int(c.dir.Fd())
	f, err := c.create()
	if err != nil {
		return err
	}
	defer f.Close() // after the rename: closing it ends the lock
	defer func() {
		if err != nil {
			unix.Unlinkat(dir, f.Name(), 0)
		}
	}()
	if err := t.Write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// The file is opened again, for reading only: while a file is open for writing,
	// its filesystem can't be remounted read-only.
	cached, err := c.open(f.Name())
	if err != nil {
		return err
	}
	if err := unix.Renameat(dir, f.Name(), dir, c.name); err != nil {
		return err
	}
	c.watch(t)
	if err := t.Switch(cached); err != nil {
		return err
	}
	return c.dir.Sync()
}

// create makes a new file with a unique name, and locks it: prune removes unfinished
// files that are not locked.
func (c *Cache) create() (*os.File, error) {
	for {
		part := "." + c.name + "." + rand.Text()
		fd, err := unix.Openat(int(c.dir.Fd()), part, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), part)
		var st unix.Stat_t
		if err := errors.Join(unix.Flock(fd, unix.LOCK_EX), unix.Fstat(fd, &st)); err != nil {
			f.Close()
			return nil, err
		}
		if st.Nlink > 0 {
			return f, nil
		}
		f.Close() // another process has removed it before it was locked
	}
}

// prune removes the files that have not been used for the longest time, and the
// unfinished files of killed processes.
func (c *Cache) prune() {
	dir := int(c.dir.Fd())
	used := c.files()
	for name := range used {
		switch {
		case strings.HasPrefix(name, "."):
			removeUnlocked(dir, name)
			delete(used, name)
		case strings.HasSuffix(name, bad):
			used[name] = time.Time{} // the first to go
		}
	}
	last := slices.SortedFunc(maps.Keys(used), func(a, b string) int {
		return cmp.Or(used[b].Compare(used[a]), strings.Compare(a, b))
	})
	for _, name := range last[min(keep, len(last)):] {
		unix.Unlinkat(dir, name, 0)
	}
}

// files returns the names of all cache files, also of unfinished ones, and when each
// was used last.
func (c *Cache) files() map[string]time.Time {
	used := map[string]time.Time{}
	c.dir.Seek(0, io.SeekStart)
	names, _ := c.dir.Readdirnames(-1) // a directory that can't be read has no files
	for _, name := range names {
		var st unix.Stat_t
		unfinished := strings.HasPrefix(name, ".") && isOurs(strings.TrimSuffix(name[1:], path.Ext(name)))
		if (isOurs(name) || unfinished) && unix.Fstatat(int(c.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			used[name] = time.Unix(st.Mtim.Unix())
		}
	}
	return used
}

// removeUnlocked removes a file unless a process has locked it.
func removeUnlocked(dir int, name string) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
		unix.Unlinkat(dir, name, 0)
	}
}

// isOurs reports whether name is that of a cache file: of any version, put aside or
// not.
func isOurs(name string) bool {
	hash, version, ok := strings.Cut(strings.TrimSuffix(name, bad), ".")
	_, err := hex.DecodeString(hash)
	return ok && err == nil && len(hash) == 64 && strings.HasPrefix(version, "v") && strings.HasSuffix(version, ".tar.zst")
}
