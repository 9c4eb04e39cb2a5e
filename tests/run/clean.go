// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// clean ends the processes that tests have left, detaches their mounts below
// scratch, and removes that.
func clean(scratch string) error {
	err := killChildren()
	mounts, mountErr := detach(scratch)
	err = errors.Join(err, mountErr)
	if len(mounts) > 0 {
		return errors.Join(err, fmt.Errorf("still mounted, so %s stays: %q", scratch, mounts))
	}
	if out, rmErr := exec.Command("rm", "-rf", "--one-file-system", scratch).CombinedOutput(); rmErr != nil {
		err = errors.Join(err, fmt.Errorf("%w: %s", rmErr, out))
	}
	return err
}

// killChildren kills the children of this process, and their children, which
// become its own then.
func killChildren() error {
	for {
		children, err := children()
		if err != nil || len(children) == 0 {
			return err
		}
		for _, pid := range children {
			_ = unix.Kill(pid, unix.SIGKILL)
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
	}
}

func children() (pids []int, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, _ := os.ReadFile(file) // the process may have ended
		// The name of the program may hold anything.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// detach detaches what is mounted below a directory, and returns what stays.
func detach(dir string) (left []string, err error) {
	all, err := mountsBelow(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range all {
		if unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) != nil {
			_ = exec.Command("fusermount3", "-u", "-z", path).Run() // an ordinary user's
		}
	}
	return mountsBelow(dir)
}

// mountsBelow returns the mount points below a directory, the last mount first.
func mountsBelow(dir string) (paths []string, err error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	escaped := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(info)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			if path := escaped.Replace(fields[4]); strings.HasPrefix(path, dir+"/") {
				paths = append([]string{path}, paths...)
			}
		}
	}
	return paths, nil
}
