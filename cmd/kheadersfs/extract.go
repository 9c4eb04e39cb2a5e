// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
)

const extractHelp = `DIR must not exist. It is there when the whole copy is, or not at all.
`

func defineExtract(flags *pflag.FlagSet) func(*call) error {
	var l lookup
	l.define(flags)
	return func(c *call) error {
		dir, err := filepath.Abs(c.operands[1])
		if err != nil {
			return err
		}
		if _, err := os.Lstat(dir); err == nil {
			return withHint(fmt.Errorf("%s: is there already", dir), "name a directory that does not exist")
		}
		if err := checkParent(dir); err != nil {
			return err
		}
		_, t, err := load(c.operands[0], l)
		if err != nil {
			return err
		}
		return extract(t, dir)
	}
}

// checkParent reports why nothing could be made at path, before any work is done.
func checkParent(path string) error {
	dir := filepath.Dir(path)
	err := unix.Faccessat(unix.AT_FDCWD, dir+"/.", unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: directory %s: %w", path, dir, err)
	if errors.Is(err, os.ErrNotExist) {
		return withHint(wrapped, "mkdir -p "+dir)
	}
	return wrapped
}

// extract writes the tree to dir: under another name beside it first, private
// and unguessable, so that what has the name dir is the whole tree or nothing.
func extract(t *index.Tree, dir string) (err error) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(stop)

	part, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".part-")
	if err != nil {
		return fmt.Errorf("%s: %w", dir, bare(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	x := &extractor{t, part, dir, make([]byte, 1<<20)}
	if err := x.run(stop); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, part, unix.AT_FDCWD, dir, unix.RENAME_NOREPLACE)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// An extractor writes a tree to the directory part, and its errors name dir instead.
type extractor struct {
	t         *index.Tree
	part, dir string
	buf       []byte
}

func (x *extractor) path(id index.ID) string { return filepath.Join(x.part, x.t.Path(id)) }

func (x *extractor) error(id index.ID, err error) error {
	return fmt.Errorf("%s: %w", filepath.Join(x.dir, x.t.Path(id)), bare(err))
}

func (x *extractor) run(stop <-chan os.Signal) error {
	for i := range x.t.Len() {
		select {
		case s := <-stop:
			return fmt.Errorf("stopped by a signal: %v", s)
		default:
		}
		if err := x.make(index.ID(i)); err != nil {
			return x.error(index.ID(i), err)
		}
	}
	// Last, and from the leaves to the root: writing into a directory changes its
	// time.
	for i := x.t.Len() - 1; i >= 0; i-- {
		if err := x.setAttributes(index.ID(i)); err != nil {
			return x.error(index.ID(i), err)
		}
	}
	return nil
}

func (x *extractor) make(id index.ID) error {
	e := x.t.Entry(id)
	switch {
	case id == index.Root:
		return nil
	case e.IsDir():
		return os.Mkdir(x.path(id), 0o700)
	case e.Ino != id:
		return os.Link(x.path(e.Ino), x.path(id))
	case e.IsLink():
		return os.Symlink(x.t.Target(id), x.path(id))
	}
	f, err := os.OpenFile(x.path(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(writeFile(f, x.t, id, x.buf), f.Close())
}

func (x *extractor) setAttributes(id index.ID) error {
	e := x.t.Entry(id)
	if !e.IsLink() {
		if err := os.Chmod(x.path(id), os.FileMode(e.Mode&0o777)); err != nil {
			return err
		}
	}
	mtime, err := unix.TimeToTimespec(time.Unix(e.Sec, int64(e.Nsec)))
	if err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, x.path(id), []unix.Timespec{mtime, mtime}, unix.AT_SYMLINK_NOFOLLOW)
}
