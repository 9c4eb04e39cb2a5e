// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// someFUSE stands for the type of a FUSE mount of which nothing else is known.
const someFUSE = "fuse.?"

// defaultMountpoint lies beside the headers of packages.
const defaultMountpoint = "/usr/src/kheaders"

// mountsOf returns the mount points of all mounts of a type.
func mountsOf(typ string) ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var dirs []string
	for line := range strings.Lines(string(b)) {
		if m := parseMount(line); m.typ == typ {
			dirs = append(dirs, m.dir)
		}
	}
	return dirs, nil
}

// A mountLine is what a line of mountinfo says.
type mountLine struct {
	dir, typ string
	dev      uint64 // as in stat(2)
}

func parseMount(line string) (m mountLine) {
	front, back, _ := strings.Cut(line, " - ")
	fields := strings.Fields(front)
	if len(fields) < 5 {
		return m
	}
	var major, minor uint32
	fmt.Sscanf(fields[2], "%d:%d", &major, &minor)
	m.typ, _, _ = strings.Cut(back, " ")
	m.dir, m.dev = unescapeMount(fields[4]), unix.Mkdev(major, minor)
	return m
}

// topmost returns the topmost mount on a directory, as /proc/self/mountinfo has it
// (proc(5)); an empty one if there is none.
func topmost(dir string) (top mountLine, err error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(b)) {
		if m := parseMount(line); m.dir == dir {
			top = m
		}
	}
	return top, err
}

// mountedOn returns the type of the topmost mount on a directory; an empty string if there
// is none.
func mountedOn(dir string) (string, error) {
	m, err := topmost(dir)
	if errors.Is(err, os.ErrNotExist) {
		return mountedWithoutProc(dir)
	}
	return m.typ, err
}

// mountedWithoutProc is mountedOn where there is no /proc. It finds autofs and FUSE
// mounts, by the type and the device of the filesystem, and cannot tell whose a
// FUSE mount is. Opening with O_PATH does not trigger an autofs.
func mountedWithoutProc(dir string) (string, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	var st, parent unix.Stat_t
	var fs unix.Statfs_t
	err = errors.Join(unix.Fstat(fd, &st), unix.Lstat(filepath.Dir(dir), &parent))
	if isDead(err) {
		return someFUSE, nil
	}
	if err != nil || st.Dev == parent.Dev {
		return "", err
	}
	err = unix.Fstatfs(fd, &fs)
	switch {
	case isDead(err), fs.Type == unix.FUSE_SUPER_MAGIC:
		return someFUSE, nil
	case fs.Type == unix.AUTOFS_SUPER_MAGIC:
		return "autofs", nil
	}
	return "", err
}

// isDead reports whether an error says that the process behind a FUSE mount has
// ended. It may be ending just now.
func isDead(err error) bool {
	return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
}

// unescapeMount undoes the octal escapes of mountinfo.
func unescapeMount(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
