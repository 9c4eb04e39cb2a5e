// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
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

// settle is how long writing waits. Who has just mounted is about to compile, and
// wants all processors for that.
const settle = time.Second

// Put has the cache file of a tree written, after a second or when Wait is called;
// when it is there the tree is read from it. That takes half a second of a
// processor that has nothing better to do. Two who put the same tree both
// succeed: their files are the same.
func (c *Cache) Put(t *index.Tree) {
	c.writing.Go(func() {
		select {
		case <-time.After(settle):
		case <-c.hurry:
		}
		// The thread ends with this goroutine, so its priority is not put back.
		runtime.LockOSThread()
		unix.Setpriority(unix.PRIO_PROCESS, 0, 19)
		if err := c.put(t); err != nil {
			c.warn("cache file in %s: %v", c.dir.Name(), err)
		}
		// What held the tree until now is megabytes. It is given back by a thread
		// that isn't a slow one, since all others may have to wait for it.
		go debug.FreeOSMemory()
		c.prune()
	})
}

// Wait has what is to be written written at once, from now on, and returns when it
// is.
func (c *Cache) Wait() {
	c.leaving.Do(func() { close(c.hurry) })
	c.writing.Wait()
}

func (c *Cache) put(t *index.Tree) (err error) {
	dir, name := int(c.dir.Fd()), fileName(t.Hash)
	part := "." + name + "." + rand.Text()
	defer func() {
		if err != nil {
			unix.Unlinkat(dir, part, 0)
		}
	}()
	if err := c.write(part, t); err != nil {
		return err
	}
	// Opened again to read only: while a file is open for writing, its filesystem
	// can't be remounted read-only.
	cached, err := c.open(part, t.Hash)
	if err != nil {
		return err
	}
	if err := unix.Renameat(dir, part, dir, name); err != nil {
		return err
	}
	c.watch(t)
	if err := t.Switch(cached); err != nil {
		return err
	}
	return c.dir.Sync()
}

// write writes a tree to a new file.
func (c *Cache) write(name string, t *index.Tree) error {
	fd, err := unix.Openat(int(c.dir.Fd()), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if err := t.Write(f); err != nil {
		return err
	}
	return f.Sync()
}

// prune removes what is too much: the files that were not used for the longest
// time, and those that nobody can be writing any more.
func (c *Cache) prune() {
	dir := int(c.dir.Fd())
	c.dir.Seek(0, io.SeekStart)
	names, err := c.dir.Readdirnames(-1)
	if err != nil {
		return // then putting has failed as well
	}
	used := map[string]time.Time{}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			continue
		}
		at := time.Unix(st.Mtim.Unix())
		switch {
		case isOurs(name) && strings.HasSuffix(name, bad):
			used[name] = time.Time{} // the first to go
		case isOurs(name):
			used[name] = at
		case name[0] == '.' && isOurs(strings.TrimSuffix(name[1:], path.Ext(name))) && time.Since(at) > time.Hour:
			unix.Unlinkat(dir, name, 0)
		}
	}
	last := slices.SortedFunc(maps.Keys(used), func(a, b string) int {
		return cmp.Or(used[b].Compare(used[a]), strings.Compare(a, b))
	})
	for _, name := range last[min(keep, len(last)):] {
		unix.Unlinkat(dir, name, 0)
	}
}

// isOurs knows the names of cache files of all versions, put aside or not.
func isOurs(name string) bool {
	hash, version, ok := strings.Cut(strings.TrimSuffix(name, bad), ".")
	_, err := hex.DecodeString(hash)
	return ok && err == nil && len(hash) == 64 && strings.HasPrefix(version, "v") && strings.HasSuffix(version, ".tar.zst")
}
