// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/fs"
)

// prepareMountpoint returns the path of a directory that can be mounted on,
// absolute and without symbolic links, and for root the opened directory. It does not
// trigger an autofs there. It removes a mount of ours whose process has ended, and leaves
// any other alone.
func (c *mountConfig) prepareMountpoint() (path string, on *os.File, err error) {
	if fs.IsHandedOver(c.mountpoint) {
		return c.mountpoint, nil, nil
	}
	dir, err := filepath.Abs(c.mountpoint)
	if err != nil {
		return "", nil, err
	}
	path, err = resolve(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil, withHint(fmt.Errorf("mount point %s: %w", dir, bare(err)), "mkdir -p "+dir)
	case err != nil:
		return "", nil, fmt.Errorf("mount point %s: %w", dir, bare(err))
	}
	if err := removeDead(path); err != nil {
		return "", nil, err
	}
	switch st, err := os.Stat(path); {
	case err != nil:
		return "", nil, fmt.Errorf("mount point %s: %w", dir, bare(err))
	case !st.IsDir():
		return "", nil, fmt.Errorf("mount point %s: %w", dir, syscall.ENOTDIR)
	case os.Geteuid() != 0:
		return path, nil, nil // fusermount3 checks and mounts
	}
	path, on, err = openMountpoint(dir, c.force)
	if err != nil {
		return "", nil, fmt.Errorf("mount point %s: %w", dir, err)
	}
	return path, on, nil
}

// removeDead detaches mounts of ours on a directory whose processes have ended. It
// fails if there is a live one. Without /proc a FUSE mount may be somebody else's:
// then neither mounting over it nor removing it is safe.
func removeDead(dir string) error {
	for {
		typ, err := mountedOn(dir)
		if err != nil {
			return err
		}
		if typ != fs.Type && typ != someFUSE {
			return nil
		}
		// The kernel keeps attributes for ever: only a call that is never
		// answered from a cache shows that a mount is dead.
		var st unix.Statfs_t
		switch err := unix.Statfs(dir, &st); {
		case !isDead(err):
			return withHint(fmt.Errorf("%s: already mounted", dir), "umount it first, or use it as it is")
		case typ == someFUSE:
			return withHint(fmt.Errorf("%s: a dead FUSE mount is on it, and without /proc nothing says whose it is", dir), "mount -t proc proc /proc, and try again")
		}
		if err := fs.Detach(dir); err != nil {
			return fmt.Errorf("a dead mount on %s: %w", dir, err)
		}
	}
}

// resolve is filepath.EvalSymlinks, and also works for a directory with a dead FUSE
// mount on it.
func resolve(dir string) (string, error) {
	path, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, syscall.ENOTCONN) {
		parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
		return filepath.Join(parent, filepath.Base(dir)), err
	}
	return path, err
}

// realPath returns the absolute path of a directory, without symbolic links.
func realPath(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return resolve(dir)
}

// lockMountpoint keeps other processes of this program from mounting on a directory
// until unlock is called. Anybody who can read the directory could hold the lock, so
// it waits for at most five seconds, more than a mount takes, and then goes on
// without. On an autofs there is no lock: opening the directory would wait for the
// mount.
func lockMountpoint(dir string) (unlock func()) {
	unlock = func() {}
	typ, err := mountedOn(dir)
	if err != nil || typ == "autofs" || fs.IsHandedOver(dir) {
		return unlock
	}
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return unlock
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != unix.EWOULDBLOCK {
			break
		}
	}
	return func() { f.Close() }
}
