// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// findProcess returns a process, by its arguments with a NUL after each, 0 if there is none.
func findProcess(is func(pid int, args string) bool) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		args, _ := os.ReadFile(file)
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		if is(pid, string(args)) {
			return pid
		}
	}
	return 0
}

// daemon returns the process that serves a mount point in the background, 0 if
// there is none.
func daemon(dir string) int {
	return findProcess(func(_ int, args string) bool {
		_, args, _ = strings.Cut(args, "\x00")
		return (strings.HasPrefix(args, "--ready-fd=") || strings.HasPrefix(args, "--resume=")) && strings.Contains(args, dir+"\x00")
	})
}

// holder returns the process that waits for the end of the server of a mount point, which
// starts it when the mount answers.
func holder(t testing.TB, dir string) (pid int) {
	t.Helper()
	eventually(t, "the holder of "+dir, func() bool { pid = findHolder(dir); return pid != 0 })
	return pid
}

func findHolder(dir string) int {
	return findProcess(func(_ int, args string) bool { return args == "kheadersfs\x00--hold\x00"+dir+"\x00" })
}

// lookUpChild returns the child of a server that looks names up, 0 if there is none.
func lookUpChild(server int) int {
	return findProcess(func(pid int, args string) bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		return args == "kheadersfs\x00--look-up\x00" && len(fields) > 1 && fields[1] == strconv.Itoa(server)
	})
}

// killServer leaves a dead mount.
func killServer(t testing.TB, dir string) {
	t.Helper()
	for _, pid := range []int{holder(t, dir), daemon(dir)} {
		check(t, unix.Kill(pid, unix.SIGKILL))
		waitGone(t, pid)
	}
	var st unix.Statfs_t
	eventually(t, "a dead mount", func() bool { return unix.Statfs(dir, &st) == unix.ENOTCONN })
}

// rss is how much memory a process has now (VmRSS) or had at most (VmHWM), in KiB.
func rss(t testing.TB, pid int, field string) int {
	t.Helper()
	_, rest, _ := strings.Cut(string(content(t, fmt.Sprintf("/proc/%d/status", pid))), "\n"+field+":")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	check(t, err)
	return kib
}

// waitGone waits for the end of a process that is not our child. A zombie has ended.
func waitGone(t testing.TB, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the end of process %d", pid), func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		return err != nil || strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
	})
}
