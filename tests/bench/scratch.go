// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// newScratch makes a private directory with a tmpfs for all files and a place
// for mount points.
func newScratch() (dir string, err error) {
	dir, err = os.MkdirTemp("", "kheadersfs-bench-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	for _, name := range []string{"mem", "mnt"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return "", err
		}
	}
	mem := filepath.Join(dir, "mem")
	if err := unix.Mount("tmpfs", mem, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
		return "", fmt.Errorf("mounting a tmpfs on %s: %w", mem, err)
	}
	return dir, nil
}

// removeScratch unmounts everything below the directory, waits for the servers,
// and removes it. It removes nothing as long as anything is mounted there.
func removeScratch(dir string) error {
	// The name is unique: a process with it among its arguments is a server of ours.
	pids := servers(dir)
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(mounts) {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", m, err)
		}
	}
	waitGone(pids)
	mounts, err = mountsBelow(dir)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("still mounted: %q", mounts)
	}
	return os.RemoveAll(dir)
}

// mountsBelow returns the mount points below a directory, each behind the one
// that it lies in.
func mountsBelow(dir string) ([]string, error) {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var below []string
	for line := range strings.Lines(string(table)) {
		if point := strings.Fields(line)[1]; strings.HasPrefix(point, dir+"/") {
			below = append(below, point)
		}
	}
	return below, nil
}

// servers returns the processes that have a directory, or something in it,
// among their arguments.
func servers(dir string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, _ := os.ReadFile(file)
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		for arg := range strings.SplitSeq(string(line), "\x00") {
			if pid != os.Getpid() && (arg == dir || strings.HasPrefix(arg, dir+"/")) {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// waitGone waits for servers that have been unmounted, and kills those that
// take longer than two seconds. They are not our children.
func waitGone(pids []int) {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		pids = slices.DeleteFunc(pids, func(pid int) bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			_, rest, _ := strings.Cut(string(stat), ") ")
			return err != nil || strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
		})
		if len(pids) == 0 || time.Since(start) > 4*time.Second {
			return
		}
		if time.Since(start) > 2*time.Second {
			for _, pid := range pids {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
}

// unmount unmounts a directory and returns when its server, if it has one, is
// gone, so that its end doesn't fall into the next measurement.
func unmount(dir string) error {
	pids := servers(dir)
	var err error
	// A killed process may not have ended yet.
	for start := time.Now(); time.Since(start) < 2*time.Second; time.Sleep(time.Millisecond) {
		if err = unix.Unmount(dir, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(dir, unix.MNT_DETACH)
	}
	waitGone(pids)
	return err
}
