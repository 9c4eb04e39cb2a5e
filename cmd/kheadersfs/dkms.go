// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// DKMS takes a kernel for one with headers when build/include exists in its directory of
// modules (_check_kernel_dir in dkms, dkms_autoinstaller and common.postinst, as of DKMS
// 3.0.10 and 3.2.2). Without, it passes over the kernel with status 0. With headers in which
// no module can be built it fails, and so does the package whose script has called it.

// ownDKMS is the name that dkms.conf of kmod/ gives to our module.
const ownDKMS = "kheadersfs"

// modulesToBuild returns the modules that DKMS builds for a kernel as soon as it has
// headers, sorted, on a machine whose root is the directory root. They are those that were
// added, which have a source (is_module_added), and those whose sources a package has
// unpacked, which its script adds next (common.postinst). Modules that are built count too:
// an upgrade builds them again. Ours doesn't when it is built, since the headers may come
// from it. mnt is a mount of ours, which is not looked into.
func modulesToBuild(root, release, mnt string) []string {
	var names []string
	sources, _ := filepath.Glob(filepath.Join(root, "var/lib/dkms/*/*/source"))
	for _, source := range sources {
		version := filepath.Dir(source)
		name := filepath.Base(filepath.Dir(version))
		if name == ownDKMS {
			if _, err := os.Stat(filepath.Join(version, release)); err == nil {
				continue
			}
		}
		names = append(names, name)
	}
	for _, dir := range entries(filepath.Join(root, "usr/src"), mnt) {
		name := filepath.Base(dir)
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		if _, err := os.Lstat(filepath.Join(dir, "dkms.conf")); err == nil && name != ownDKMS {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// entries returns the paths in a directory, without that of a mount.
func entries(dir, mnt string) []string {
	list, _ := os.ReadDir(dir)
	var paths []string
	for _, e := range list {
		if path := filepath.Join(dir, e.Name()); path != mnt {
			paths = append(paths, path)
		}
	}
	return paths
}

// newDKMSWatch returns what waitForDKMS reads from, an inotify(7).
func newDKMSWatch() (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching DKMS: inotify: %w", err)
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}

// waitForDKMS returns when modulesToBuild returns a name, with its result, or when watch is
// closed (os.ErrClosed). A package unpacks the sources of its module well before its script
// calls DKMS.
func waitForDKMS(watch *os.File, root, release, mnt string) ([]string, error) {
	conn, err := watch.SyscallConn()
	watched := map[int]bool{}
	buf := make([]byte, 4096)
	for err == nil {
		dirs := entries(filepath.Join(root, "usr/src"), mnt)
		for _, pattern := range []string{"usr/src", "var/lib", "var/lib/dkms", "var/lib/dkms/*", "var/lib/dkms/*/*"} {
			matches, _ := filepath.Glob(filepath.Join(root, pattern))
			dirs = append(dirs, matches...)
		}
		more := false
		if conn.Control(func(fd uintptr) { more, err = addWatches(int(fd), dirs, watched) }) != nil {
			err = os.ErrClosed
		}
		if err != nil {
			break
		}
		if more {
			continue // what has come into one of them meanwhile gave no event
		}
		if names := modulesToBuild(root, release, mnt); len(names) > 0 {
			return names, nil
		}
		_, err = watch.Read(buf)
	}
	return nil, fmt.Errorf("watching DKMS: %w", err)
}

// addWatches watches directories for new entries, and reports whether one was not in
// watched, the watch descriptors. One that is watched already stays so.
func addWatches(fd int, dirs []string, watched map[int]bool) (more bool, err error) {
	for _, dir := range dirs {
		wd, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR)
		switch {
		case err == nil:
			more = more || !watched[wd]
			watched[wd] = true
		case err != unix.ENOENT && err != unix.ENOTDIR:
			return more, &os.PathError{Op: "inotify_add_watch", Path: dir, Err: err}
		}
	}
	return more, nil
}

func dkmsError(names []string) error {
	return withHint(fmt.Errorf("DKMS has modules to build (%s), and cannot build them in this mount", strings.Join(names, ", ")),
		"mount an archive of kheadersfs pack --kbuild, without noexec; or force the link; "+instead)
}
