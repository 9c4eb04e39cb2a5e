// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
)

func extractCommand(args []string, stdout, _ io.Writer) error {
	flags, release := archiveFlags("extract")
	if done, err := parse(flags, args, 1, 2, stdout); done || err != nil {
		return err
	}
	src, dir := "", flags.Arg(0)
	if flags.NArg() == 2 {
		src, dir = flags.Arg(0), flags.Arg(1)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(dir); err == nil {
		return withHint(fmt.Errorf("%s: is there already", dir), "name a directory that does not exist")
	}
	a, err := openArchive(src, *release)
	if err != nil {
		return err
	}
	t, err := load(a)
	if err != nil {
		return err
	}
	return extract(t, dir)
}

// extract writes the tree to dir: under another name beside it first, private
// and unguessable, so that what has the name dir is the whole tree or nothing.
func extract(t *index.Tree, dir string) (err error) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(stop)

	part, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".part-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	if err := extractInto(t, part, stop); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, part, unix.AT_FDCWD, dir, unix.RENAME_NOREPLACE)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: part, New: dir, Err: err}
	}
	return nil
}

func extractInto(t *index.Tree, part string, stop <-chan os.Signal) error {
	path := func(id index.ID) string { return filepath.Join(part, t.Path(id)) }
	buf := make([]byte, 1<<20)
	for i := range t.Len() {
		select {
		case s := <-stop:
			return fmt.Errorf("stopped by a signal: %v", s)
		default:
		}
		id := index.ID(i)
		e := t.Entry(id)
		var err error
		switch {
		case id == index.Root:
		case e.IsDir():
			err = os.Mkdir(path(id), 0o700)
		case e.Ino != id:
			err = os.Link(path(e.Ino), path(id))
		case e.IsLink():
			err = os.Symlink(t.Target(id), path(id))
		default:
			err = extractFile(t, id, path(id), buf)
		}
		if err != nil {
			return err
		}
	}
	// Last, and from the leaves to the root: what is written into a directory
	// changes its time.
	for i := t.Len() - 1; i >= 0; i-- {
		id := index.ID(i)
		e := t.Entry(id)
		if !e.IsLink() {
			if err := os.Chmod(path(id), os.FileMode(e.Mode&0o777)); err != nil {
				return err
			}
		}
		times := []unix.Timespec{{Sec: e.Sec, Nsec: int64(e.Nsec)}, {Sec: e.Sec, Nsec: int64(e.Nsec)}}
		err := unix.UtimesNanoAt(unix.AT_FDCWD, path(id), times, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			return &os.PathError{Op: "utimensat", Path: path(id), Err: err}
		}
	}
	return nil
}

func extractFile(t *index.Tree, id index.ID, path string, buf []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for off := int64(0); err == nil; {
		var n int
		n, err = t.ReadAt(id, buf, off)
		off += int64(n)
		if _, werr := f.Write(buf[:n]); werr != nil {
			err = werr
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, f.Close())
}
