// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestSlowOwnKernel boots kernels that carry their own headers, built from the sources of the
// oldest and the newest Debian release that there is, built in and as a module, and has
// own-guest.sh mount them there.
func TestSlowOwnKernel(t *testing.T) {
	for _, suite := range []string{"bullseye", "sid"} {
		for _, how := range []string{"y", "m"} {
			t.Run(suite+"="+how, func(t *testing.T) {
				build := ownKernel(t, suite, how)
				initrd := filepath.Join(t.TempDir(), "initrd")
				check(t, output(exec.Command("sh", "-euc", `
					root=$1
					mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/usr/src/kheaders" "$root/lib"
					cp own-guest.sh "$root/init"
					cp steps.sh "$root"
					cp "$(command -v busybox)" "$2" "$root/bin"
					ln -s busybox "$root/bin/sh"
					if [ -d "$3/root/lib/modules" ]; then cp -r "$3/root/lib/modules" "$root/lib"; fi
					cd "$root"
					find . | cpio -o -H newc -R 0:0 --quiet >"$4"`,
					"sh", t.TempDir(), kheadersfs(t), build, initrd)))
				bootSteps(t, "own-guest.sh", filepath.Join(build, "arch/x86/boot/bzImage"), initrd)
				packedByItself(t, build, how)
			})
		}
	}
}

// packedByItself builds the kernel again as docs/own-kernels.md says, word for word: with a
// packed archive in itself, or in the module one with all that modules are built with.
func packedByItself(t *testing.T, build, how string) {
	t.Helper()
	scripts := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(content(t, "../docs/own-kernels.md")), -1)
	if len(scripts) != 2 {
		t.Fatalf("%d scripts", len(scripts))
	}
	script, root := scripts[0][1], t.TempDir()
	if how == "m" {
		script = scripts[1][1]
	}
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = build
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(kheadersfs(t))+":"+os.Getenv("PATH"), "INSTALL_MOD_PATH="+root, "MAKEFLAGS=-s -j2")
	check(t, output(cmd))
	holder, want := filepath.Join(build, "vmlinux"), "index  "
	if how == "m" {
		modules, _ := filepath.Glob(filepath.Join(root, "lib/modules/*/kernel/kernel/kheaders.ko*"))
		if len(modules) != 1 {
			t.Fatalf("installed: %q", modules)
		}
		holder, want = modules[0], "builds "
	}
	if info, stderr, _ := run(t, "info", holder); !strings.Contains(info, "\n"+want) {
		t.Errorf("%s: no %q\n%s%s", holder, want, info, stderr)
	}
	if _, stderr, status := run(t, "verify", holder); status != 0 {
		t.Errorf("verify: %s", stderr)
	}
}

// ownKernel returns the directory in which a kernel was built that carries its own headers, in
// itself (y) or as a module (m).
func ownKernel(t *testing.T, suite, how string) string {
	t.Helper()
	need.Slow(t)
	need.That(t, runtime.GOARCH == "amd64", "an amd64 machine")
	need.Command(t, "apt-get", "dpkg-deb", "make", "gcc", "flex", "bison", "bc", "cpio", "xz", "openssl", "busybox", "qemu-system-x86_64")
	err := output(exec.Command("pkg-config", "--exists", "libcrypto", "libelf"))
	need.That(t, err == nil, "libssl-dev and libelf-dev: %v", err)
	var stderr bytes.Buffer
	cmd := exec.Command("./own-kernel.sh", suite, how, "out/own")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	need.That(t, err == nil || !strings.Contains(stderr.String(), "apt has no"), "%s", &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return strings.TrimSpace(string(out))
}
