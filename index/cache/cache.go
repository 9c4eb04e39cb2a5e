// SPDX-License-Identifier: Apache-2.0

// Package cache keeps what decoding a stock archive has given, for the next time
// that it is mounted: a file for each archive, by its SHA-256, in the format that
// docs/format.md describes.
//
// A file is believed when nobody but the user who runs this program can have
// written it. What is damaged all the same is put aside and made anew from the
// archive; without a directory, or space in it, all is as without a cache.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/source"
)

const (
	// ending is that of the files; a format that differs has another one.
	ending = ".v1.tar.zst"
	// keep is how many of them stay. Those that were used last do.
	keep = 8
	bad  = ".bad" // behind the name of one that was put aside
)

// A Cache is the directory, for who has opened one archive.
type Cache struct {
	dir     *os.File
	archive string
	warn    func(format string, args ...any)
	writing sync.WaitGroup
	hurry   chan struct{} // closed by leaving
	leaving sync.Once
	mended  bool // by the one call of OnDamage that there is at a time
}

// Open opens the directory at path, which is made if it isn't there; the error
// tells why it can't be believed. The archive is at the path that is given, which
// is empty if it can't be read there any more once the tree is mounted. What goes
// wrong later is told to warn, by any goroutine.
func Open(path, archive string, warn func(format string, args ...any)) (*Cache, error) {
	dir, err := openDir(path)
	if err != nil {
		return nil, err
	}
	return &Cache{dir: dir, archive: archive, warn: warn, hurry: make(chan struct{})}, nil
}

func fileName(hash [32]byte) string { return hex.EncodeToString(hash[:]) + ending }

// passing are errors that say nothing about a file.
var passing = []unix.Errno{unix.EIO, unix.EINTR, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ESTALE}

// Get returns the tree of the archive with the given SHA-256; nil if there is
// none. Should bytes of it turn out to be damaged, the archive is read once more,
// if it is still the same.
func (c *Cache) Get(hash [32]byte) *index.Tree {
	name := fileName(hash)
	t, err := c.open(name, hash)
	var errno unix.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.As(err, &errno) && slices.Contains(passing, errno):
		c.warn("cache file %s: %v", c.path(name), err)
		return nil
	case err != nil:
		c.warn("cache file %s: %v: making it anew", c.path(name), err)
		c.putAside(name)
		return nil
	}
	c.watch(t)
	return t
}

func (c *Cache) path(name string) string { return c.dir.Name() + "/" + name }

// open opens a cache file, and marks it as used.
func (c *Cache) open(name string, hash [32]byte) (*index.Tree, error) {
	fd, err := unix.Openat(int(c.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	t, err := openTree(f, hash)
	if err != nil {
		f.Close()
		return nil, err
	}
	now := unix.NsecToTimespec(time.Now().UnixNano())
	unix.UtimesNanoAt(int(c.dir.Fd()), name, []unix.Timespec{now, now}, unix.AT_SYMLINK_NOFOLLOW) // a read-only filesystem keeps its times
	return t, nil
}

// openTree makes a tree that reads from f, which is then open for ever.
func openTree(f *os.File, hash [32]byte) (*index.Tree, error) {
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
	t, err := index.OpenSeekable(f, st.Size())
	if err != nil {
		return nil, err
	}
	if t.Hash != hash {
		return nil, errors.New("made from another archive than its name tells")
	}
	return t, nil
}

// putAside takes a name away from a file that can't be used.
func (c *Cache) putAside(name string) {
	dir := int(c.dir.Fd())
	if err := unix.Renameat(dir, name, dir, name+bad); err != nil {
		c.warn("putting %s aside: %v", c.path(name), err)
	}
}

// watch has the archive decoded again when the tree's cache file is damaged. A
// second time it stays in memory: then it isn't the file that is at fault.
func (c *Cache) watch(t *index.Tree) {
	t.OnDamage(func(cause error) error {
		name := fileName(t.Hash)
		again, err := c.decode(t.Hash)
		if err == nil {
			err = t.Switch(again)
		}
		if err != nil {
			return fmt.Errorf("cache file %s: %w, and it can't be made anew: %w", c.path(name), cause, err)
		}
		if c.mended {
			c.warn("cache file %s: %v, again: doing without", c.path(name), cause)
			return nil
		}
		c.mended = true
		c.warn("cache file %s: %v: making it anew from %s", c.path(name), cause, c.archive)
		c.putAside(name)
		c.Put(t)
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
	return index.Open(a.Data)
}
