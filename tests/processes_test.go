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

// daemon returns the process that serves a mount point in the background, 0 if
// there is none.
func daemon(dir string) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, _ := os.ReadFile(file)
		if args := strings.Split(string(line), "\x00"); len(args) > 1 &&
			(strings.HasPrefix(args[1], "--ready-fd=") || strings.HasPrefix(args[1], "--resume=")) && strings.Contains(string(line), dir+"\x00") {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			return pid
		}
	}
	return 0
}

// holder returns the process that waits for the end of the server of a mount point, which
// starts it when the mount answers.
func holder(t testing.TB, dir string) (pid int) {
	t.Helper()
	eventually(t, "the holder of "+dir, func() bool { pid = findHolder(dir); return pid != 0 })
	return pid
}

func findHolder(dir string) (pid int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, _ := os.ReadFile(file)
		if string(line) == "kheadersfs\x00--hold\x00"+dir+"\x00" {
			pid, _ = strconv.Atoi(strings.Split(file, "/")[2])
		}
	}
	return pid
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
