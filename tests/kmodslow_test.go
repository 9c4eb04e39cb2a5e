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

// TestSlowKmodClang builds the module for kernels that clang builds, with and
// without optimization at link time. With it the linker assembles, which once
// did not find the archive.
func TestSlowKmodClang(t *testing.T) {
	need.Slow(t)
	need.That(t, runtime.GOARCH == "amd64", "an amd64 machine")
	need.Command(t, "apt-get", "dpkg-deb", "xz", "make", "gcc", "flex", "bison", "bc", "clang", "ld.lld", "llvm-nm")
	source, err := filepath.Abs("out/linux-source")
	check(t, err)
	// Those of modpost are in capitals: no kernel has been built that would have
	// symbols.
	warning := regexp.MustCompile(`(?m)^.*(warning|error):.*$`)
	for _, option := range []string{"LTO_CLANG_THIN", "LTO_NONE"} {
		t.Run(option, func(t *testing.T) {
			build := t.TempDir()
			log, err := exec.Command("./clang-kernel.sh", source, build, option).CombinedOutput()
			need.That(t, err == nil || !strings.Contains(string(log), "apt has no"), "%s", log)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			dir := t.TempDir()
			check(t, copyFiles(dir, "../kmod", moduleFiles...))
			log, err = exec.Command("make", "-C", dir, "KDIR="+build, "KHEADERSFS="+kheadersfs(t), "KBUILD=1", "W=1", "KBUILD_MODPOST_WARN=1").CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if w := warning.FindString(string(log)); w != "" {
				t.Errorf("with W=1: %s", w)
			}
			if !bytes.Contains(content(t, filepath.Join(dir, "kheaders.ko")), content(t, filepath.Join(dir, moduleArchive))) {
				t.Error("the archive is not in the module")
			}

			mnt, modules := mount(t, filepath.Join(dir, moduleArchive)), map[string][]byte{}
			for _, headers := range []string{build, mnt} {
				external := t.TempDir()
				check(t, os.WriteFile(filepath.Join(external, "Kbuild"), []byte("obj-m := hello.o\n"), 0o644))
				check(t, os.WriteFile(filepath.Join(external, "hello.c"), []byte(`// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
static int __init start(void) { pr_info("hello\n"); return 0; }
static void __exit stop(void) { }
module_init(start);
module_exit(stop);
MODULE_DESCRIPTION("Test");
MODULE_LICENSE("GPL");
`), 0o644))
				makeExternal(t, headers, external, "LLVM=1", "KBUILD_MODPOST_WARN=1")
				modules[headers] = code(t, filepath.Join(external, "hello.ko"))
			}
			if !bytes.Equal(modules[mnt], modules[build]) {
				t.Error("a module differs from what the build directory gives")
			}
		})
	}
}
