// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/fs"
)

// prepareMountpoint returns the path of a directory that can be mounted on,
// absolute and without symbolic links. It looks at the directory without
// triggering an autofs there. A mount of ours whose process has died is taken
// away; any other is left alone.
func prepareMountpoint(dir string) (string, error) {
	if fs.IsHandedOver(dir) {
		return dir, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	path, err := resolve(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", withHint(fmt.Errorf("mount point %s: %w", dir, syscall.ENOENT), "mkdir -p "+dir)
		}
		return "", fmt.Errorf("mount point %s: %w", dir, err)
	}
	for {
		typ, err := mountedOn(path)
		if err != nil {
			return "", err
		}
		if typ != fs.Type {
			break
		}
		// The kernel keeps attributes for ever: a dead mount can be told only by
		// a call that is never answered from a cache. It may be dying just now.
		var st unix.Statfs_t
		err = unix.Statfs(path, &st)
		if !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.ECONNABORTED) {
			return "", withHint(fmt.Errorf("%s: already mounted", dir), "umount it first, or use it as it is")
		}
		if err := fs.Detach(path); err != nil {
			return "", fmt.Errorf("a dead mount on %s: %w", dir, err)
		}
	}
	switch st, err := os.Stat(path); {
	case err != nil:
		return "", fmt.Errorf("mount point %s: %w", dir, errors.Unwrap(err))
	case !st.IsDir():
		return "", fmt.Errorf("mount point %s: %w", dir, syscall.ENOTDIR)
	}
	return path, nil
}

// resolve is filepath.EvalSymlinks, which works for a directory that a dead
// FUSE mount lies on too.
func resolve(dir string) (string, error) {
	path, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, syscall.ENOTCONN) {
		parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
		return filepath.Join(parent, filepath.Base(dir)), err
	}
	return path, err
}

// lockMountpoint keeps others of us from mounting on a directory until unlock is
// called. Anybody who can read the directory could hold the lock, so it is waited
// for no longer than a mount takes at the very most, and then done without. Below
// an autofs there is none: opening the directory would wait for the mount.
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

// mountedOn returns the type of the topmost mount on a directory, as
// /proc/self/mountinfo tells it (proc(5)); nothing if there is none, or no /proc.
func mountedOn(dir string) (string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	typ := ""
	for line := range strings.Lines(string(b)) {
		front, back, _ := strings.Cut(line, " - ")
		fields := strings.Fields(front)
		if len(fields) >= 5 && unescapeMount(fields[4]) == dir {
			typ, _, _ = strings.Cut(back, " ")
		}
	}
	return typ, nil
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
