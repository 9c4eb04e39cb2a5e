// SPDX-License-Identifier: Apache-2.0

// Package cache stores the tree of a decoded stock archive for the next mount: one
// file for each archive, named after its SHA-256, in the format of kheadersfs-archive(5).
//
// A file is trusted if only the user who runs this program can have written it. If it
// is damaged all the same, it is put aside and written again from the archive.
// Without a directory, or without space in it, everything works as without a cache.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/source"
)

const (
	// suffix ends the name of a cache file. Each version of the format has its own.
	suffix = ".v1.tar.zst"
	// keep is how many files prune keeps: those that were used last.
	keep = 8
	bad  = ".bad" // ends the name of a file that was put aside
)

// A Cache is the cache directory as one mount uses it. A nil Cache has no files.
type Cache struct {
	path    string
	archive string
	warn    func(format string, args ...any)

	dir  *os.File // nil until it is needed, or if it can't be trusted
	name string   // of the archive's file in it
	have bool     // Tree has returned the tree of the cache file

	writing   sync.WaitGroup
	stopDelay chan struct{} // closed by stop: writing begins at once
	stop      sync.Once
	replaced  bool // guarded by OnDamage, which makes one call at a time
}

// New returns the Cache of the directory at path. The directory is opened when it is
// needed, and made if it does not exist. archive is the path from which the mounted
// archive can be read again, or empty. The Cache passes later problems to warn, from
// any goroutine.
func New(path, archive string, warn func(format string, args ...any)) *Cache {
	return &Cache{path: path, archive: archive, warn: warn, stopDelay: make(chan struct{})}
}

func fileName(hash [32]byte) string { return hex.EncodeToString(hash[:]) + suffix }

// transient errors do not mean that a file is damaged.
var transient = []unix.Errno{unix.EIO, unix.EINTR, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ESTALE}

// Tree returns the tree of an archive from its own index, or else from its cache
// file; nil if it has neither. If the cache file turns out to be damaged later, the
// archive is decoded, provided that it is still the same.
func (c *Cache) Tree(f *index.File) (*index.Tree, error) {
	if c == nil || f.Tree() != nil {
		return f.Tree(), nil
	}
	hash, err := f.Hash()
	if err != nil {
		return nil, err
	}
	if c.dir, err = openDir(c.path); err != nil {
		c.warn("no cache: %v", err)
		return nil, nil
	}
	c.name = fileName(hash)
	t, err := c.open(c.name)
	if err == nil && t.Hash != hash {
		err = errors.New("made from another archive than its name says")
	}
	var errno unix.Errno
	switch {
	case err == nil:
		c.have = true
		c.watch(t)
		return t, nil
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, &errno) && slices.Contains(transient, errno):
		c.warn("cache file %s: %v", c.File(), err)
	default:
		c.warn("cache file %s: %v: writing it again", c.File(), err)
		c.putAside()
	}
	return nil, nil
}

// File returns the path of the archive's cache file, which may not exist yet. It
// returns an empty path if the archive will have none.
func (c *Cache) File() string {
	if c == nil || c.dir == nil {
		return ""
	}
	return c.dir.Name() + "/" + c.name
}

// open opens a cache file, and marks it as used.
func (c *Cache) open(name string) (*index.Tree, error) {
	t, _, err := c.openFile(name)
	if err == nil {
		now := unix.NsecToTimespec(time.Now().UnixNano())
		unix.UtimesNanoAt(int(c.dir.Fd()), name, []unix.Timespec{now, now}, unix.AT_SYMLINK_NOFOLLOW) // fails on a read-only filesystem
	}
	return t, err
}

// openFile returns the tree of a cache file, which can be read until f is closed.
func (c *Cache) openFile(name string) (t *index.Tree, f *os.File, err error) {
	fd, err := unix.Openat(int(c.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	f = os.NewFile(uintptr(fd), name)
	if t, err = openTree(f); err != nil {
		f.Close()
		return nil, nil, err
	}
	return t, f, nil
}

func openTree(f *os.File) (*index.Tree, error) {
	if err := checkOwn(int(f.Fd())); err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	a, err := index.ParseCacheFile(f, st.Size())
	if err != nil {
		return nil, err
	}
	return a.Tree(), nil
}

// Find returns the path of the cache file with the headers of a kernel release: of
// several files that which was used last, and an empty path if there is none.
func (c *Cache) Find(release string) string {
	if c == nil {
		return ""
	}
	dir, err := openDir(c.path)
	if err != nil {
		return ""
	}
	defer dir.Close()
	opened := &Cache{dir: dir}
	found, newest := "", time.Time{}
	for name, used := range opened.files() {
		if !strings.HasSuffix(name, suffix) || used.Before(newest) {
			continue
		}
		t, f, err := opened.openFile(name)
		if err != nil {
			continue
		}
		if got, err := t.Release(); err == nil && got == release {
			found, newest = dir.Name()+"/"+name, used
		}
		f.Close()
	}
	return found
}

// putAside renames a cache file that can't be used.
func (c *Cache) putAside() {
	dir := int(c.dir.Fd())
	if err := unix.Renameat(dir, c.name, dir, c.name+bad); err != nil {
		c.warn("putting %s aside: %v", c.File(), err)
	}
}

// watch sets a callback that decodes the archive again when the tree's cache file is
// damaged, and writes the file again. The second time the bytes stay in memory: the
// cause is not the file, and would damage it again.
func (c *Cache) watch(t *index.Tree) {
	t.OnDamage(func(cause error) error {
		again, err := c.decode(t.Hash)
		if err == nil {
			err = t.Switch(again)
		}
		if err != nil {
			return fmt.Errorf("cache file %s: %w, and it can't be written again: %w", c.File(), cause, err)
		}
		if c.replaced {
			c.warn("cache file %s: %v, for the second time: going on without it", c.File(), cause)
			return nil
		}
		c.replaced = true
		c.warn("cache file %s: %v: writing it again from %s", c.File(), cause, c.archive)
		c.putAside()
		c.write(t)
		return nil
	})
}

// decode decodes the archive, which must have the given SHA-256.
func (c *Cache) decode(hash [32]byte) (*index.Tree, error) {
	if c.archive == "" {
		return nil, errors.New("the archive lies below the mount point")
	}
	a, err := source.Open(c.archive)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(a.Data) != hash {
		return nil, fmt.Errorf("%s is another archive now", c.archive)
	}
	return index.Open(a, a.Size())
}
