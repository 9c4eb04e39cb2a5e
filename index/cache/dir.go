// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// openDir opens the directory at path, and makes it if it does not exist. It must
// belong to the user who runs this program, nobody else may write to it, and the
// directories above must belong to that user or root.
//
// The path may lead through symbolic links, but must not end in one. After resolving
// them, openDir opens each directory from the one above, so that it uses the
// directories that it has checked.
func openDir(path string) (*os.File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	parent, err := resolve(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	at := "/"
	dir, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.Trim(parent, "/"), "/") {
		if err = checkAncestor(dir); err == nil && name != "" {
			at = filepath.Join(at, name)
			dir, err = descend(dir, name, unix.O_PATH, 0o700)
		}
		if err != nil {
			unix.Close(dir)
			return nil, fmt.Errorf("%s: %w", at, err)
		}
	}
	if err := checkAncestor(dir); err != nil {
		unix.Close(dir)
		return nil, fmt.Errorf("%s: %w", parent, err)
	}
	fd, err := descend(dir, filepath.Base(path), unix.O_RDONLY, 0o755)
	if err == nil {
		err = checkOwn(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// resolve is filepath.EvalSymlinks for a path whose end need not exist.
func resolve(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) && path != "/" {
		parent, err := resolve(filepath.Dir(path))
		return filepath.Join(parent, filepath.Base(path)), err
	}
	return resolved, err
}

// descend opens the directory name in dir, and makes it if it does not exist. It
// closes dir.
func descend(dir int, name string, flags int, mode uint32) (int, error) {
	defer unix.Close(dir)
	flags |= unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, name, flags, 0)
	if err != unix.ENOENT {
		return fd, err
	}
	if err := unix.Mkdirat(dir, name, mode); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return unix.Openat(dir, name, flags, 0)
}

// checkAncestor returns an error if anybody could replace what lies in a directory.
// Its group is allowed to: it is often the user's own, and directories that others
// make there do not belong to the user.
func checkAncestor(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch {
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("belongs to user %d", st.Uid)
	case st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("others may write to it (mode %#o)", st.Mode&0o7777)
	}
	return nil
}

// checkOwn returns an error if somebody else could write to an open file or directory.
func checkOwn(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch {
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("belongs to user %d", st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("others may write to it (mode %#o)", st.Mode&0o7777)
	}
	return nil
}
