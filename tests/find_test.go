// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
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

// TestFind mounts without a SOURCE.
func TestFind(t *testing.T) {
	needMounts(t)
	need.Command(t, "gcc")
	eachIn(t, "find.sh", func(t *testing.T, script []string) {
		dir := t.TempDir()
		check(t, os.WriteFile(filepath.Join(dir, "archive"), content(t, smallArchive(t)), 0o644))
		inNamespace(t, script, "EXE="+kheadersfs(t), "MNT="+mountpoint(t), "DIR="+dir)
	})
}

func TestInfo(t *testing.T) {
	archive := stockArchive(t)
	stdout, stderr, status := run(t, "info", "--json", archive)
	if status != 0 {
		t.Fatal(stderr)
	}
	var info map[string]any
	check(t, json.Unmarshal([]byte(stdout), &info))
	list, err := exec.Command("xz", "--robot", "--list", archive).Output()
	check(t, err)
	names, err := exec.Command("tar", "-tf", archive).Output()
	check(t, err)
	robot := strings.Fields(strings.Split(string(list), "\n")[1])
	blocks, err := strconv.ParseFloat(robot[2], 64) // more than one by a newer xz
	check(t, err)
	for key, want := range map[string]any{
		"path": archive, "kind": "archive", "check": "CRC64", "offset": 0., "streams": 1., "blocks": blocks,
		"entries": float64(strings.Count(string(names), "\n") + 1), // and the top directory
	} {
		if info[key] != want {
			t.Errorf("%s: %v instead of %v", key, info[key], want)
		}
	}
	text, stderr, status := run(t, "info", archive)
	if status != 0 || !strings.Contains(text, robot[4]) {
		t.Errorf("no unpacked size %s in:\n%s%s", robot[4], text, stderr)
	}
	if release := string(content(t, filepath.Join(stockTree(t), "include/generated/utsrelease.h"))); !strings.Contains(release, info["release"].(string)) {
		t.Errorf("release %v, but %s", info["release"], release)
	}
}

func TestVerify(t *testing.T) {
	tree := smallTree(t)
	archive := pack(t, tree, "--block-size=65536")
	if stdout, stderr, status := run(t, "verify", archive); status != 0 || !strings.HasSuffix(stdout, ": OK\n") || stderr != "" {
		t.Errorf("exit status %d, %s%s", status, stdout, stderr)
	}
	damaged := content(t, archive)
	damaged[200] ^= 1 // in the first block, which has the tree's first files
	path := filepath.Join(t.TempDir(), "damaged")
	check(t, os.WriteFile(path, damaged, 0o644))
	stdout, stderr, status := run(t, "verify", path)
	if status != 1 || !strings.Contains(stderr, path) || !strings.Contains(stdout, "xz block 1 of ") ||
		!strings.Contains(stdout, "damaged: ") || strings.Contains(stdout, "xz block 2 of") {
		t.Errorf("exit status %d\n%s\n%s", status, stdout, stderr)
	}
}

func TestExtract(t *testing.T) {
	needRoot(t) // compareTrees expects its own
	tree := smallTree(t)
	archive := pack(t, tree)
	dir := filepath.Join(t.TempDir(), "copy")
	if _, stderr, status := run(t, "extract", archive, dir); status != 0 {
		t.Fatal(stderr)
	}
	compareTrees(t, dir, tree)
	if _, stderr, status := run(t, "extract", archive, dir); status != 1 || !strings.Contains(stderr, "is there already") {
		t.Errorf("exit status %d, %s", status, stderr)
	}
	// Whole or not at all.
	parent := t.TempDir()
	cmd := exec.Command("sh", "-c", `ulimit -f 100; trap '' XFSZ; exec "$@"`, "sh", kheadersfs(t), "extract", archive, filepath.Join(parent, "copy"))
	if _, stderr, status := runCmd(t, cmd); status != 1 || stderr != "kheadersfs: "+filepath.Join(parent, "copy/include/big.h")+": file too large\n" {
		t.Errorf("exit status %d, %s", status, stderr)
	}
	// Where nothing can be written, which root is only told of a read-only directory.
	check(t, unix.Mount("tmpfs", parent, "tmpfs", unix.MS_RDONLY, ""))
	fails(t, 1, []string{filepath.Join(parent, "copy") + ": directory " + parent + ": read-only file system"}, "extract", archive, filepath.Join(parent, "copy"))
	check(t, unix.Unmount(parent, unix.MNT_DETACH))
	left, err := os.ReadDir(parent)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestExtractInterrupted leaves nothing behind.
func TestExtractInterrupted(t *testing.T) {
	archive := stockArchive(t)
	parent := t.TempDir()
	cmd := exec.Command(kheadersfs(t), "extract", archive, filepath.Join(parent, "copy"))
	check(t, cmd.Start())
	eventually(t, "the first files", func() bool {
		files, _ := filepath.Glob(filepath.Join(parent, ".copy.part-*", "*"))
		return len(files) > 0
	})
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err == nil {
		t.Error("succeeds")
	}
	left, err := os.ReadDir(parent)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
