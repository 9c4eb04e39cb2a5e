// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A subject is one way to have the headers as files.
type subject struct {
	name    string
	command []string // makes the tree appear in the directory that is appended; nil if tree is set
	plain   bool     // the command leaves plain files, and no mount
	tree    string   // where the tree lies already
	header  string   // a file in the tree, whose answer means that it is there
	noFiles bool     // there is nothing to read
	size    int64    // what it takes on the disk, in bytes

	firstPeak int64 // the most memory that making its cache file took, in KiB
}

// kconfig is the header that everything includes first.
const kconfig = "include/linux/kconfig.h"

// newMountpoint makes a directory for one mount.
func (b *bench) newMountpoint() (string, error) {
	return os.MkdirTemp(filepath.Join(b.dir, "mnt"), "")
}

// mountAt mounts a subject on a directory, and returns the time from the start of the
// command until a header can be read.
func (b *bench) mountAt(s *subject, dir string) (time.Duration, error) {
	start := time.Now()
	if s.tree == "" {
		if _, err := b.timed("", append(append([]string(nil), s.command...), dir)...); err != nil {
			return 0, err
		}
	}
	// Some servers go into the background before they mount.
	err := b.poll(100*time.Microsecond, func() bool {
		_, err := os.Stat(filepath.Join(dir, s.header))
		return err == nil
	})
	return time.Since(start), err
}

// mount is mountAt in a directory of its own. Undo it with gone, also after an
// error.
func (b *bench) mount(s *subject) (dir string, took time.Duration, err error) {
	if s.tree != "" {
		return s.tree, 0, nil
	}
	if dir, err = b.place(s); err != nil {
		return dir, 0, err
	}
	took, err = b.mountAt(s, dir)
	if err != nil {
		err = fmt.Errorf("mounting: %w", err)
	}
	return dir, took, err
}

// place makes the directory on which a subject is mounted. Plain files go to the
// tmpfs.
func (b *bench) place(s *subject) (string, error) {
	if s.plain {
		return os.MkdirTemp(b.mem, "plain-")
	}
	return b.newMountpoint()
}

// gone undoes mount.
func (b *bench) gone(s *subject, dir string) error {
	switch {
	case s.tree != "" || dir == "":
		return nil
	case s.plain:
		return os.RemoveAll(dir)
	}
	below, err := mountsBelow(filepath.Dir(dir))
	if err != nil {
		return err
	}
	for _, m := range below {
		if m == dir {
			if err := unmount(dir); err != nil {
				return fmt.Errorf("unmounting: %w", err)
			}
		}
	}
	return os.Remove(dir)
}

// with mounts a subject, does something in it, and unmounts it.
func (b *bench) with(s *subject, do func(dir string, took time.Duration) error) error {
	dir, took, err := b.mount(s)
	if err == nil {
		err = do(dir, took)
	}
	if undo := b.gone(s, dir); err == nil {
		err = undo
	}
	return err
}

// listing returns a hash of all names in a tree, with the sizes of files, to
// show that two subjects hold the same.
func listing(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		// Not every filesystem reports the length of a link.
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			fmt.Fprintln(h, path[len(dir):], target)
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path[len(dir):], info.Size())
		return nil
	})
	return fmt.Sprintf("%x", h.Sum(nil)), err
}
