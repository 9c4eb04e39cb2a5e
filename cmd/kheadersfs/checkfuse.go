// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/fs"
)

// checkFUSE finds out what would make mounting on dir fail, before any work is done.
func checkFUSE(dir string) error {
	if fs.IsHandedOver(dir) {
		return nil
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
	case errors.Is(err, os.ErrNotExist):
		return withHint(err, "modprobe fuse; in a container, pass the device in (--device /dev/fuse)")
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return withHint(err, "this kernel has no FUSE loaded: modprobe fuse")
	case os.Geteuid() != 0: // fusermount3 opens it with the user's rights too
		return withHint(err, "chmod 0666 /dev/fuse, as udev's rules have it, or mount as root")
	default:
		return withHint(err, "a container needs the right to use the device (--device /dev/fuse)")
	}
	if os.Geteuid() == 0 {
		return nil
	}
	if _, err := fs.Fusermount(); err != nil {
		return withHint(fmt.Errorf("mounting on %s: %w", dir, err), "install fuse3: fusermount3 mounts for users who are not root")
	}
	if err := unix.Access(dir, unix.W_OK); err != nil { // fusermount3 asks for it
		return mountError(err, dir, false)
	}
	return nil
}

// mountError adds the next step to an error of mounting itself.
func mountError(err error, dir string, allowOther bool) error {
	wrapped := fmt.Errorf("mounting on %s: %w", dir, err)
	switch {
	case os.Geteuid() == 0 && errors.Is(err, syscall.EPERM):
		return withHint(wrapped, "mounting needs CAP_SYS_ADMIN: a container must be given it; a rule of udev must start a mount unit instead")
	case os.Geteuid() == 0:
		return wrapped
	case allowOther:
		return withHint(wrapped, "allow_other needs the line user_allow_other in /etc/fuse.conf, and "+
			"a directory that you own and may write to")
	}
	return withHint(wrapped, "mount on a directory that you own and may write to")
}
