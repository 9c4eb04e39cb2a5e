// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// withModules precedes scripts that need modules for the running kernel: module
// makes one that holds $DIR/archive in a directory. They lie in the second place
// of the search, since a machine may have no /lib/modules.
const withModules = `
mount -t tmpfs none /run
MODULES=/run/booted-system/kernel-modules/lib/modules/$(uname -r)
mkdir -p "$MODULES"
module() {
	mkdir -p "$1"
	printf '\t.section .rodata\n\t.globl kernel_headers_data\nkernel_headers_data:\n\t.incbin "%s"\n\t.globl kernel_headers_data_end\nkernel_headers_data_end:\n' "$DIR/archive" |
		gcc -c -x assembler -o "$1/kheaders.ko" -
}
`

// TestFind mounts without a SOURCE.
func TestFind(t *testing.T) {
	needMounts(t)
	need.Command(t, "gcc")
	for _, test := range []struct{ name, script string }{
		{"in kernel/kernel", `
module "$MODULES/kernel/kernel"
"$EXE" "$MNT" 2>"$DIR/err"
grep "warning: $MODULES/kernel/kernel/kheaders.ko: headers of 1.2.3-test instead of $(uname -r)" "$DIR/err"
[ "$(findmnt -n -o SOURCE "$MNT")" = kheaders ]`},
		{"through modules.dep", `
module "$MODULES/extra/odd"; echo 'extra/odd/kheaders.ko:' >"$MODULES/modules.dep"
"$EXE" kheaders "$MNT"`},
		{"packed", `
module "$MODULES/updates/dkms"; xz "$MODULES/updates/dkms/kheaders.ko"
"$EXE" auto "$MNT"`},
		{"--release", `
mkdir "$MODULES/../9.9"; module "$MODULES/../9.9/updates"
"$EXE" --release 9.9 "$MNT"`},
		{"-o release", `
mkdir "$MODULES/../9.9"; module "$MODULES/../9.9/updates"
"$EXE" none "$MNT" -o release=9.9,rw`},
		{"--root", `
mkdir -p "$DIR/host/lib"; ln -s /lib "$DIR/host/usr"
module "$DIR/host/lib/modules/9.9/updates"
"$EXE" --root "$DIR/host" --release 9.9 "$MNT"`},
		{"the cache of a kernel that was upgraded", `
mkdir "$DIR/cache"
"$EXE" --cache-dir "$DIR/cache" "$DIR/archive" "$MNT"; umount "$MNT"
while ! ls "$DIR/cache"/*.zst; do sleep 0.1; done
"$EXE" --cache-dir "$DIR/cache" --release 1.2.3-test "$MNT" 2>"$DIR/err"
grep "warning: kernel 1.2.3-test has no headers archive any more: mounting the cache file of it, $DIR/cache/" "$DIR/err"`},
		{"a kernel that was upgraded", `
mkdir -p "$DIR/host/lib/modules/9.9"
if "$EXE" --root "$DIR/host" "$MNT" 2>"$DIR/err"; then exit 1; fi
grep "hint: kernel $(uname -r) runs, and only 9.9 is installed: it was upgraded; reboot" "$DIR/err"
"$EXE" "$DIR/archive" "$MNT"`},
		{"--strict", `
mkdir "$MODULES/../1.2.3-test"; module "$MODULES/../1.2.3-test/updates"; cp -r "$MODULES/../1.2.3-test/updates" "$MODULES"
if "$EXE" --strict "$MNT" 2>"$DIR/err"; then exit 1; fi
grep "headers of 1.2.3-test instead of" "$DIR/err"
"$EXE" --strict --release 1.2.3-test "$MNT" 2>"$DIR/err"
[ ! -s "$DIR/err" ]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			mnt, dir := mountpoint(t), t.TempDir()
			check(t, os.WriteFile(filepath.Join(dir, "archive"), content(t, smallArchive(t)), 0o644))
			inNamespace(t, withModules+test.script+`
cat "$MNT/include/linux/kconfig.h"
umount "$MNT"`, "EXE="+kheadersfs(t), "MNT="+mnt, "DIR="+dir)
		})
	}
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
	for key, want := range map[string]any{
		"path": archive, "kind": "archive", "check": "CRC64", "offset": 0., "streams": 1., "blocks": 1.,
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
