// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Root opens the top directory of the mount. Where the kernel allows it, the mount is a
// private copy, which keeps nobody from unmounting the other one.
func (m *Mounted) Root() (root *os.File, private bool, err error) {
	private = true
	fd, err := unix.OpenTree(unix.AT_FDCWD, m.dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_NO_AUTOMOUNT)
	if err != nil {
		private = false
		fd, err = unix.Open(m.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, false, &os.PathError{Op: "open", Path: m.dir, Err: err}
	}
	root = os.NewFile(uintptr(fd), m.dir)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && uint64(st.Dev) != m.dev {
		err = errors.New("something else is mounted over it")
	}
	if err != nil {
		root.Close()
	}
	return root, private, err
}

// LookUp looks up paths in a mount of which root is the top directory, so that the kernel has
// the names when a program asks for them. It lists a path that ends with a slash: the answer
// to that has the attributes of each entry.
//
// The process that serves the mount must not call it: waiting for its own answers, it could
// neither be frozen for a suspend nor be killed.
func LookUp(root *os.File, paths []string) {
	top := int(root.Fd())
	buf := make([]byte, 128<<10)
	var st unix.Stat_t
	for _, path := range paths {
		if path[len(path)-1] != '/' {
			unix.Fstatat(top, path, &st, unix.AT_SYMLINK_NOFOLLOW)
			continue
		}
		fd, err := unix.Openat(top, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		for n := 1; n > 0 && err == nil; {
			n, err = unix.Getdents(fd, buf)
		}
		unix.Close(fd)
	}
}
