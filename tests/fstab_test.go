// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

func needMount8(t *testing.T) {
	t.Helper()
	needMounts(t)
	need.Command(t, "mount", "mount.fuse3", "findmnt", "setpriv", "fusermount3")
}

func TestFstab(t *testing.T) {
	needMount8(t)
	archive := smallArchive(t)
	for _, typ := range []string{"kheadersfs", "fuse.kheadersfs"} { // by our helper, and by that of fuse3
		t.Run(typ, func(t *testing.T) {
			if typ != "kheadersfs" {
				need.Long(t)
			}
			eachIn(t, "fstab.sh", func(t *testing.T, script []string) {
				inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "MNT="+mountpoint(t), "DIR="+worldReadable(t), "TYPE="+typ)
			})
		})
	}
}

// TestHelper calls the program as mount(8) does.
func TestHelper(t *testing.T) {
	needMount8(t)
	need.Command(t, "busybox", "nsenter")
	archive := smallArchive(t)
	eachIn(t, "helper.sh", func(t *testing.T, script []string) {
		if script[1] == "namespace" {
			err := exec.Command("nsenter", "--mount=/proc/self/ns/mnt", "test", "-e", scratch).Run()
			need.That(t, err == nil, "to be in no chroot: %v", err)
		}
		inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "MNT="+mountpoint(t), "DIR="+worldReadable(t))
	})
}

// TestReplaceable refuses as root to mount where another user decides what the mount point
// is.
func TestReplaceable(t *testing.T) {
	needMount8(t)
	archive := smallArchive(t)
	eachIn(t, "replaceable.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "MNT="+mountpoint(t), "DIR="+worldReadable(t))
	})
}

// TestAutofs mounts on an automount point, as systemd makes it for
// x-systemd.automount: a process that looks waits until mount(8) is done, but for
// those in the process group of the automounter, as mount(8) is. If the program left
// that group early, it would wait for itself.
func TestAutofs(t *testing.T) {
	needMount8(t)
	archive := smallArchive(t)
	dir := mountpoint(t)
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	data := fmt.Sprintf("fd=%d,pgrp=%d,minproto=5,maxproto=5,direct", w.Fd(), syscall.Getpgrp())
	check(t, unix.Mount("autofs", dir, "autofs", 0, data))
	w.Close()
	// Our process group doesn't trigger it.
	root, err := os.Open(dir)
	check(t, err)
	defer root.Close()

	done := make(chan error, 1)
	go func() {
		packet := make([]byte, 304) // struct autofs_v5_packet of linux/auto_fs.h
		if _, err := io.ReadFull(r, packet); err != nil {
			done <- err
			return
		}
		const ready, fail = 0x9360, 0x9361 // AUTOFS_IOC_READY, AUTOFS_IOC_FAIL
		answer := uint(ready)
		err := output(exec.Command("timeout", "--foreground", "20", kheadersfs(t), archive, dir))
		if err != nil {
			answer = fail
		}
		token := binary.NativeEndian.Uint32(packet[8:])
		unix.IoctlSetInt(int(root.Fd()), answer, int(token))
		done <- err
	}()
	cat := exec.Command("timeout", "30", "cat", filepath.Join(dir, "include/linux/kconfig.h"))
	cat.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cat.CombinedOutput()
	if err != nil || string(out) != "#define KCONFIG 1\n" {
		t.Errorf("%v: %s", err, out)
	}
	check(t, <-done)
	if _, stderr, status := run(t, archive, dir); status != 1 || !strings.Contains(stderr, "already mounted") {
		t.Errorf("again: exit status %d, %s", status, stderr)
	}
}
