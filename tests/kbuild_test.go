// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// What modules are made of outside of the kernel: one file, two, one that exports a symbol,
// and one elsewhere that uses it. A line number of the header from which WARN was inlined is
// in the first.
var externalModules = map[string]map[string]string{
	"several": {
		"Kbuild": "obj-m := hello.o multi.o exports.o\nmulti-y := a.o b.o\n",
		"hello.c": moduleHead + `
dma_addr_t hello_map(struct device *d, void *p);
dma_addr_t hello_map(struct device *d, void *p) { return dma_map_single(d, p, 10, DMA_TO_DEVICE); }
static int __init start(void) { pr_info("hello\n"); return 0; }
static void __exit stop(void) { pr_info("bye\n"); }
module_init(start);
module_exit(stop);
`,
		"a.c":       moduleHead + "int b(void);\nstatic int __init start(void) { return b(); }\nmodule_init(start);\n",
		"b.c":       "#include <linux/skbuff.h>\n#include <linux/blkdev.h>\nint b(void);\nint b(void) { kfree_skb(alloc_skb(100, GFP_KERNEL)); return 0; }\n",
		"exports.c": moduleHead + "int exported(void);\nint exported(void) { return 1; }\nEXPORT_SYMBOL_GPL(exported);\n",
	},
	"uses": {
		"Kbuild": "obj-m := uses.o\n",
		"uses.c": moduleHead + "int exported(void);\nstatic int __init start(void) { return exported(); }\nmodule_init(start);\n",
	},
}

const moduleHead = `// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <net/sock.h>
MODULE_DESCRIPTION("Test");
MODULE_LICENSE("GPL");
`

// TestPackKbuild builds modules against a mount, as root and as an ordinary user, and gets
// what the package of headers gives.
func TestPackKbuild(t *testing.T) {
	needMounts(t)
	need.Command(t, "make", "gcc", "xz", "objcopy")
	for _, flavour := range kernels(t) {
		t.Run(flavour, func(t *testing.T) {
			kernel, built := builtModule(t, flavour)
			headers := headersOf(kernel)
			dir := t.TempDir()
			for _, dir := range []string{dir, filepath.Dir(dir)} {
				check(t, os.Chmod(dir, 0o755)) // for another user
			}
			kbuild, flags, most := filepath.Join(dir, "kbuild.tar.xz"), []string{"--kbuild"}, 1.15
			if _, err := os.Stat(filepath.Join(headers, "vmlinux")); err == nil { // the package makes BTF
				flags, most = append(flags, "--btf"), 1.45
			}
			if _, stderr, status := run(t, append([]string{"pack", "-o", kbuild, headers}, flags...)...); status != 0 || stderr != "" {
				t.Fatalf("pack %q: exit status %d\n%s", flags, status, stderr)
			}
			lean, err := os.Stat(filepath.Join(built, moduleArchive))
			check(t, err)
			full, err := os.Stat(kbuild)
			check(t, err)
			if float64(full.Size()) > most*float64(lean.Size()) {
				t.Errorf("%d bytes, and %d of headers only", full.Size(), lean.Size())
			}
			const warning = "modules can't be built in it when it is mounted noexec\n"
			if _, stderr, status := run(t, "--no-cache", "--fake", "-o", "noexec", kbuild, mountpoint(t)); status != 0 || !strings.HasSuffix(stderr, warning) {
				t.Errorf("mounting noexec: exit status %d, %q", status, stderr)
			}
			mnt := mount(t, kbuild)
			want, got := filepath.Join(dir, "package"), filepath.Join(dir, "mount")
			for _, top := range []string{want, got} {
				for name, files := range externalModules {
					check(t, os.MkdirAll(filepath.Join(top, name), 0o755))
					for file, text := range files {
						check(t, os.WriteFile(filepath.Join(top, name, file), []byte(text), 0o644))
					}
				}
			}
			const user = 65534
			several, uses := filepath.Join(got, "several"), filepath.Join(got, "uses")
			check(t, os.Chown(several, user, user))
			symbols := func(top string) string { return "KBUILD_EXTRA_SYMBOLS=" + filepath.Join(top, "several/Module.symvers") }
			log := makeExternal(t, mnt, several, "-j2", "W=1") + makeExternal(t, mnt, uses, symbols(got))
			for _, bad := range []string{"warning", "WARNING", "skew", "Read-only", "rror:"} {
				if strings.Contains(log, bad) {
					t.Errorf("make says %q:\n%s", bad, log)
				}
			}
			makeExternal(t, headers, filepath.Join(want, "several"), "-j2")
			makeExternal(t, headers, filepath.Join(want, "uses"), symbols(want))
			for _, module := range []string{"several/hello.ko", "several/multi.ko", "several/exports.ko", "uses/uses.ko"} {
				if !bytes.Equal(code(t, filepath.Join(want, module)), code(t, filepath.Join(got, module))) {
					t.Errorf("%s differs from what the package of headers gives", module)
				}
			}
			if log := makeExternal(t, mnt, uses, symbols(got)); strings.Contains(log, " [M] ") {
				t.Errorf("it is built again:\n%s", log)
			}
			makeExternal(t, mnt, uses, "modules_install", "INSTALL_MOD_PATH="+filepath.Join(dir, "root"))
			if found, _ := filepath.Glob(filepath.Join(dir, "root/lib/modules/*/*/uses.ko*")); len(found) != 1 {
				t.Errorf("installed: %q", found)
			}
			makeExternal(t, mnt, uses, "help")
			makeExternal(t, mnt, uses, "clean")
			if left, err := os.ReadDir(uses); err != nil || len(left) != len(externalModules["uses"]) {
				t.Errorf("after make clean: %v, %v", left, err)
			}
		})
	}
}

// makeExternal runs make for a module as the owner of its directory, and returns what make
// printed.
func makeExternal(t testing.TB, headers, module string, args ...string) string {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Stat(module, &st))
	cmd := exec.Command("make", append([]string{"-C", headers, "M=" + module}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	log, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make %q against %s: %v\n%s", args, headers, err, log)
	}
	return string(log)
}

// code returns a module without what names the directories in which it was built: debug
// information, and an identifier made from all of it. pahole may put types in another order
// each time, so that only the length of the section with BTF tells something.
func code(t testing.TB, module string) []byte {
	t.Helper()
	bare := filepath.Join(t.TempDir(), "bare.ko")
	btf := filepath.Join(t.TempDir(), "btf")
	check(t, output(exec.Command("objcopy", "-g", "-R", ".note.gnu.build-id", module, bare)))
	check(t, output(exec.Command("objcopy", "-R", ".BTF", "--dump-section", ".BTF="+btf, bare)))
	b, err := os.ReadFile(btf)
	if err != nil {
		return content(t, bare) // objcopy has warned
	}
	return fmt.Appendf(content(t, bare), "BTF %d", len(b))
}
