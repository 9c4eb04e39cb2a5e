// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// TestLs compares the listing with tar's, and what -l shows with stat(1).
func TestLs(t *testing.T) {
	archive := stockArchive(t)
	names, err := exec.Command("tar", "-tf", archive).Output()
	check(t, err)
	want := strings.Split(strings.ReplaceAll("\n"+strings.TrimSpace(string(names)), "\n./", "\n"), "\n")[1:]
	want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
	stdout, stderr, status := run(t, "ls", archive)
	got := strings.Split(strings.TrimSpace(stdout), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if status != 0 || stderr != "" || !slices.Equal(got, want) {
		t.Errorf("exit status %d, %d lines instead of %d: %s", status, len(got), len(want), stderr)
	}

	archive = smallArchive(t)
	dir := filepath.Join(t.TempDir(), "copy")
	check(t, output(exec.Command(kheadersfs(t), "extract", archive, dir)))
	stdout, _, status = run(t, "ls", "-l", archive)
	for line := range strings.Lines(stdout) {
		if strings.HasPrefix(line, "d") {
			continue // whose size is the filesystem's
		}
		words := strings.Fields(line)
		name, _, _ := strings.Cut(strings.Join(words[4:], " "), " -> ")
		cmd := exec.Command("stat", "-c", "%A %s %y", filepath.Join(dir, name))
		cmd.Env = append(os.Environ(), "TZ=UTC")
		out, err := cmd.Output()
		check(t, err)
		stat := strings.Fields(string(out))
		stat[3], _, _ = strings.Cut(stat[3], ".")
		if !slices.Equal(words[:4], stat[:4]) {
			t.Errorf("%q, but stat says %q", line, stat)
		}
	}
	for _, want := range []string{" include/generated/link.h -> ../linux/types.h\n", " dangling -> /nowhere\n", " void/\n", " arch/x86/include/asm/a name with é.h\n"} {
		if status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit status %d, no %q in:\n%s", status, want, stdout)
		}
	}
}

// TestLsPath lists parts of an archive, which is named in different ways.
func TestLsPath(t *testing.T) {
	need.Command(t, "gcc")
	needRoot(t)
	const below = "include/linux/\ninclude/linux/kconfig.h\ninclude/linux/types.h\n"
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "archive"), content(t, smallArchive(t)), 0o644))
	check(t, os.MkdirAll(filepath.Join(dir, "include/linux"), 0o755))
	out := inNamespace(t, []string{"list.sh"}, "EXE="+kheadersfs(t), "DIR="+dir)
	want := strings.Repeat(below+"\n", 5) + "include/big.h\ninclude/generated/link.h\n19\n19\n19\n19\n#define KCONFIG 1\n#define KCONFIG 1\n"
	if out != want {
		t.Errorf("%s\ninstead of\n%s", out, want)
	}
}

// TestCat compares each file of a tree, and files that are reached by way of links.
func TestCat(t *testing.T) {
	tree := smallTree(t)
	check(t, os.Symlink("generated", filepath.Join(tree, "include/dir")))
	check(t, os.Symlink("dir/link.h", filepath.Join(tree, "include/through.h")))
	check(t, os.Symlink("loop", filepath.Join(tree, "loop")))
	archive := pack(t, tree)
	for _, path := range []string{"include/big.h", "include/empty.h", "include/hard.h", "/include/linux/types.h", "./bin/script",
		"include/generated/link.h", "include/through.h", "include/dir/../linux/kconfig.h", "arch/x86/include/asm/a name with é.h"} {
		stdout, stderr, status := run(t, "cat", archive, path)
		if status != 0 || stderr != "" || stdout != string(content(t, filepath.Join(tree, path))) {
			t.Errorf("%s: exit status %d, %d bytes, %s", path, status, len(stdout), stderr)
		}
	}
	fails(t, 1, []string{archive + ": loop: too many levels of symbolic links"}, "cat", archive, "loop")
	// A reader that has seen enough ends it without a message.
	out, err := exec.Command("bash", "-c", `"$0" cat "$1" include/big.h 2>&1 | head -c 16; "$0" ls "$1" 2>&1 | head -n 1`, kheadersfs(t), archive).Output()
	if err != nil || string(out) != "0123456789abcdefarch/\n" {
		t.Errorf("%v: %q", err, out)
	}
}

// TestControlCharacters shows no name to a terminal that could control it, and
// every name to a pipe as it is.
func TestControlCharacters(t *testing.T) {
	odd := tartest.Tar(t, tartest.File("a\x1b[31m\n.h", ""), tartest.Symlink("l", "\x07"))
	archive := filepath.Join(worldReadable(t), "odd.tar.xz")
	check(t, os.WriteFile(archive, tartest.XZ(t, odd, 0), 0o644))
	if stdout, _, status := run(t, "ls", archive); status != 0 || stdout != "a\x1b[31m\n.h\nl\n" {
		t.Errorf("exit status %d, %q", status, stdout)
	}
	needTerminal(t)
	stdout, _, status := runCmd(t, exec.Command("script", "-qec", kheadersfs(t)+" ls -l "+archive, "/dev/null"))
	if status != 0 || !strings.Contains(stdout, ` $'a\033[31m\012.h'`) || !strings.Contains(stdout, ` l -> $'\007'`) || strings.ContainsAny(stdout, "\x1b\x07") {
		t.Errorf("to a terminal: exit status %d, %q", status, stdout)
	}
}
