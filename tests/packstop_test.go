// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// largeTree makes a tree that takes some seconds to pack.
func largeTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "arch/x86/include"), 0o755))
	// Bytes that xz compresses slowly.
	noise := make([]byte, 16<<20)
	x := uint32(1)
	for i := range noise {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		noise[i] = 'a' + byte(x>>7)%26
	}
	check(t, os.WriteFile(filepath.Join(dir, "arch/x86/include/noise.h"), noise, 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "arch/x86/include/small.h"), []byte("x"), 0o644))
	return dir
}

// names returns what is in a directory.
func names(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// TestPackStopped stops pack while xz is at work: nothing is left of what it
// had begun, and the file that it was to replace is still there.
func TestPackStopped(t *testing.T) {
	need.Command(t, "xz")
	tree := largeTree(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		out := t.TempDir()
		check(t, os.WriteFile(filepath.Join(out, "old"), []byte("old"), 0o600))
		cmd := exec.Command(kheadersfs(t), "pack", "--force", "-o", filepath.Join(out, "old"), tree)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		check(t, cmd.Start())
		eventually(t, "xz", func() bool { return child(cmd.Process.Pid) != 0 })
		xz := child(cmd.Process.Pid)
		if got := names(t, out); !strings.Contains(got, ".old.part-") {
			t.Errorf("at work there are %s", got)
		}
		check(t, cmd.Process.Signal(sig))
		_ = cmd.Wait()
		if status := cmd.ProcessState.ExitCode(); status != 1 || stdout.String() != "" || stderr.String() != "kheadersfs: stopped by a signal\n" {
			t.Errorf("%v: exit status %d, %q, %q", sig, status, &stdout, &stderr)
		}
		waitGone(t, xz)
		if got := names(t, out); got != "old" || string(content(t, filepath.Join(out, "old"))) != "old" {
			t.Errorf("%v: there are %s", sig, got)
		}
	}
}

// child returns the xz that a process has started, or 0.
func child(pid int) int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(stat), "(xz) ")
		if words := strings.Fields(rest); len(words) > 1 && words[1] == strconv.Itoa(pid) {
			n, _, _ := strings.Cut(string(stat), " ")
			child, _ := strconv.Atoi(n)
			return child
		}
	}
	return 0
}

// TestPackFails makes packing fail: one line says why, and nothing is left.
func TestPackFails(t *testing.T) {
	need.Command(t, "xz")
	tree := smallTree(t)
	empty := t.TempDir()
	for _, test := range []struct {
		name, tree, path string
		env              []string
		want             string
	}{
		{"no tree", "/nowhere", "", nil, "kheadersfs: /nowhere: no such file or directory\n"},
		{"no headers", empty, "", nil, "kheadersfs: " + empty + ": not a tree of kernel headers: no arch/*/include\n"},
		{"no xz", tree, "", []string{"PATH=" + empty}, "kheadersfs: xz: exec: \"xz\": executable file not found in $PATH\nhint: install xz-utils\n"},
		{"a directory has the name", tree, "taken", nil, "taken: is there and not a regular file\nhint: -o - writes to standard output\n"},
		{"a time that is none", tree, "", []string{"SOURCE_DATE_EPOCH=yesterday"}, "kheadersfs: SOURCE_DATE_EPOCH \"yesterday\" is not a number of seconds\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := t.TempDir()
			want := ""
			if test.path != "" {
				check(t, os.Mkdir(filepath.Join(out, test.path), 0o755))
				want = test.path
			} else {
				test.path = "packed.tar.xz"
			}
			cmd := exec.Command(kheadersfs(t), "pack", "-o", filepath.Join(out, test.path), test.tree)
			cmd.Env = append(os.Environ(), test.env...)
			stdout, stderr, status := runCmd(t, cmd)
			if status != 1 || stdout != "" || !strings.HasSuffix(strings.TrimSuffix(stderr, "\n"), strings.TrimSuffix(test.want, "\n")) || !strings.HasPrefix(stderr, "kheadersfs: ") {
				t.Errorf("exit status %d, %q, %q", status, stdout, stderr)
			}
			if got := names(t, out); got != want {
				t.Errorf("there are %s", got)
			}
		})
	}
}

// TestPackDiskFull packs to a filesystem without enough space.
func TestPackDiskFull(t *testing.T) {
	needRoot(t)
	need.Command(t, "xz")
	tree := largeTree(t)
	dir := t.TempDir()
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	_, stderr, status := run(t, "pack", "-o", filepath.Join(dir, "packed.tar.xz"), tree)
	if status != 1 || !strings.HasPrefix(stderr, "kheadersfs: xz: ") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "No space left on device") {
		t.Errorf("exit status %d, %q", status, stderr)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("there are %s", got)
	}
}

// TestPackOver replaces a file only with --force, and never its own input, whatever
// name that has.
func TestPackOver(t *testing.T) {
	need.Command(t, "xz")
	archive := smallArchive(t)
	dir := t.TempDir()
	out, link := filepath.Join(dir, "out.tar.xz"), filepath.Join(dir, "link.tar.xz")
	before := content(t, archive)
	check(t, os.Link(archive, link))
	check(t, os.WriteFile(out, []byte("old"), 0o644))
	fails(t, 1, []string{out + ": is there already\nhint: --force replaces it\n"}, "pack", "-o", out, archive)
	if got := string(content(t, out)); got != "old" {
		t.Errorf("%d bytes in place of the old ones", len(got))
	}
	for _, input := range []string{archive, link} {
		fails(t, 1, []string{link + " is the input\n"}, "pack", "--force", "-o", link, input)
	}
	if string(content(t, archive)) != string(before) || string(content(t, link)) != string(before) {
		t.Error("the input has changed")
	}
	if _, stderr, status := run(t, "pack", "-f", "-o", out, archive); status != 0 || len(content(t, out)) < 100 {
		t.Errorf("exit status %d, %s", status, stderr)
	}
}

// TestPackStdout writes the same bytes to standard output as to a file, and the
// message elsewhere, and none to a terminal.
func TestPackStdout(t *testing.T) {
	need.Command(t, "xz", "script")
	archive := smallArchive(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "out.tar.xz")
	check(t, output(exec.Command(kheadersfs(t), "pack", "-o", out, archive)))
	cmd := exec.Command(kheadersfs(t), "pack", "-o", "-", archive)
	cmd.Dir = dir
	stdout, stderr, status := runCmd(t, cmd)
	if status != 0 || stdout != string(content(t, out)) || !strings.HasPrefix(stderr, fmt.Sprintf("-: %d bytes, ", len(stdout))) {
		t.Errorf("exit status %d, %d bytes, %s", status, len(stdout), stderr)
	}
	if got := names(t, dir); got != "out.tar.xz" {
		t.Errorf("there are %s", got)
	}
	needTerminal(t)
	stdout, _, status = runCmd(t, exec.Command("script", "-qec", kheadersfs(t)+" pack -o - "+archive, "/dev/null"))
	if status != 2 || !strings.Contains(stdout, "an archive is not written to a terminal") {
		t.Errorf("to a terminal: exit status %d, %q", status, stdout)
	}
}

// TestPackOutput keeps what is there and not a file: as root, -o /dev/null would
// destroy that device.
func TestPackOutput(t *testing.T) {
	need.Command(t, "xz")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	check(t, syscall.Mkfifo(path("fifo"), 0o644))
	check(t, os.Symlink("elsewhere", path("link")))
	check(t, os.Mkdir(path("dir"), 0o755))
	for _, name := range []string{"fifo", "link", "dir"} { // --force changes nothing
		before, err := os.Lstat(path(name))
		check(t, err)
		_, stderr, status := run(t, "pack", "--force", "-o", path(name), smallTree(t))
		if status != 1 || !strings.Contains(stderr, path(name)+": is there and not a regular file") {
			t.Errorf("%s: exit status %d, %s", name, status, stderr)
		}
		if after, err := os.Lstat(path(name)); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: replaced (%v)", name, err)
		}
	}
}
