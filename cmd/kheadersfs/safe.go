// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	pathpkg "path"
	"strings"

	"golang.org/x/sys/unix"
)

// An opened is a directory that was opened, and its path without symbolic links.
type opened struct {
	*os.File
	path string
}

// openMountpoint opens a directory, so that what is mounted on is what was checked. An
// autofs on it is not triggered. dir is an absolute path.
//
// Unless force is set it fails when a user other than root could put something else in
// the place of the directory, or of a link on the way to it: what root mounts on /tmp/x
// would go where the owner of a link x wants it (CVE-2024-2313).
func openMountpoint(dir string, force bool) (path string, f *os.File, err error) {
	at, err := openRoot()
	names := strings.Split(dir, "/")
	buf := make([]byte, unix.PathMax)
	for links := 0; err == nil && len(names) > 0; {
		name := names[0]
		names = names[1:]
		if name == "" || name == "." {
			continue
		}
		if !force {
			if err = at.checkEntry(name); err != nil {
				break
			}
		}
		n, linkErr := unix.Readlinkat(int(at.Fd()), name, buf)
		if linkErr != nil { // not a link
			at, err = at.enter(name)
			continue
		}
		if links++; links > 40 { // MAXSYMLINKS of the kernel
			err = unix.ELOOP
			break
		}
		target := string(buf[:n])
		names = append(strings.Split(target, "/"), names...)
		if strings.HasPrefix(target, "/") {
			at.Close()
			at, err = openRoot()
		}
	}
	if err != nil {
		at.Close()
		return "", nil, err
	}
	return at.path, at.File, nil
}

func openRoot() (opened, error) {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	return opened{os.NewFile(uintptr(fd), "/"), "/"}, err
}

// enter opens an entry of the directory, which it closes.
func (d opened) enter(name string) (opened, error) {
	defer d.Close()
	fd, err := unix.Openat(int(d.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	p := pathpkg.Join(d.path, name)
	return opened{os.NewFile(uintptr(fd), p), p}, err
}

// checkEntry fails if others can replace an entry of the directory.
func (d opened) checkEntry(name string) error {
	var st, entry unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil {
		return err
	}
	const others = unix.S_IWGRP | unix.S_IWOTH
	switch {
	case st.Uid != 0:
		return replaceable("%s belongs to user %d", d.path, st.Uid)
	case st.Mode&others == 0:
		return nil
	case st.Mode&unix.S_ISVTX == 0:
		return replaceable("%s has mode %04o", d.path, st.Mode&0o7777)
	}
	// In a sticky directory only the owner can replace an entry.
	if err := unix.Fstatat(int(d.Fd()), name, &entry, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT); err != nil {
		return err
	}
	if entry.Uid != 0 {
		return replaceable("%s belongs to user %d", pathpkg.Join(d.path, name), entry.Uid)
	}
	return nil
}

// replaceable tells why others can replace a mount point.
func replaceable(format string, args ...any) error {
	return withHint(fmt.Errorf("other users can replace it: "+format, args...),
		"mount below directories that only root can change, as "+defaultMountpoint+", or with --force")
}
