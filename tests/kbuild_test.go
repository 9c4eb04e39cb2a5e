// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index/source"
	"github.com/kheadersfs/kheadersfs/tests/need"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
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
		"a.c":       moduleHead + "int b(void);\nstatic int __init start(void) { return b(); }\nmodule_init(start);\n" + moduleFoot,
		"b.c":       "#include <linux/skbuff.h>\n#include <linux/blkdev.h>\nint b(void);\nint b(void) { kfree_skb(alloc_skb(100, GFP_KERNEL)); return 0; }\n",
		"exports.c": moduleHead + "int exported(void);\nint exported(void) { return 1; }\nEXPORT_SYMBOL_GPL(exported);\n",
	},
	"uses": {
		"Kbuild": "obj-m := uses.o\n",
		"uses.c": moduleHead + "int exported(void);\nstatic int __init start(void) { return exported() - 1; }\nmodule_init(start);\n" + moduleFoot,
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

const moduleFoot = "static void __exit stop(void) { }\nmodule_exit(stop);\n"

var kbuildArchives sync.Map // a *once for each flavour

// kbuildArchive returns a kernel's headers, and the archive of all that modules are built
// with, packed from them.
func kbuildArchive(t testing.TB, flavour string) (headers, file string) {
	t.Helper()
	need.Command(t, "make", "gcc", "xz")
	headers = headersOf(debianKernel(t, flavour))
	packed, _ := kbuildArchives.LoadOrStore(flavour, &once{})
	return headers, packed.(*once).get(t, "kbuild-"+flavour+".tar.xz", func(file string) error {
		args := []string{"pack", "--kbuild", "-o", file, headers}
		if hasBTF(headers) {
			args = append(args, "--btf")
		}
		if _, stderr, status := run(t, args...); status != 0 || stderr != "" {
			return fmt.Errorf("%q: exit status %d\n%s", args, status, stderr)
		}
		return nil
	})
}

// hasBTF reports whether modules that are built with the headers get BTF.
func hasBTF(headers string) bool {
	_, err := os.Stat(filepath.Join(headers, "vmlinux"))
	return err == nil
}

func writeModules(t testing.TB, dir string) {
	t.Helper()
	for name, files := range externalModules {
		check(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
		for file, text := range files {
			check(t, os.WriteFile(filepath.Join(dir, name, file), []byte(text), 0o644))
		}
	}
}

// extraSymbols names what the module "uses" needs of the other ones.
func extraSymbols(dir string) string {
	return "KBUILD_EXTRA_SYMBOLS=" + filepath.Join(dir, "several/Module.symvers")
}

// TestPackKbuild builds modules against a mount, as root and as an ordinary user, and gets
// what the package of headers gives.
func TestPackKbuild(t *testing.T) {
	t.Parallel()
	needMounts(t)
	need.Command(t, "make", "gcc", "xz", "objcopy", "sparse")
	for _, flavour := range kernels(t) {
		t.Run(flavour, func(t *testing.T) {
			headers, kbuild := kbuildArchive(t, flavour)
			_, built := builtModule(t, flavour)
			lean, err := os.Stat(filepath.Join(built, moduleArchive))
			check(t, err)
			full, err := os.Stat(kbuild)
			check(t, err)
			most := 1.15
			if hasBTF(headers) {
				most = 1.45
			}
			if float64(full.Size()) > most*float64(lean.Size()) {
				t.Errorf("%d bytes, and %d of headers only", full.Size(), lean.Size())
			}
			const warning = "modules can't be built in it: it is mounted noexec\n"
			if _, stderr, status := run(t, "--no-cache", "--fake", "-o", "noexec", kbuild, mountpoint(t)); status != 0 || !strings.HasSuffix(stderr, warning) {
				t.Errorf("mounting noexec: exit status %d, %q", status, stderr)
			}
			mnt := mount(t, kbuild)
			dir := t.TempDir()
			for _, dir := range []string{dir, filepath.Dir(dir)} {
				check(t, os.Chmod(dir, 0o755)) // for another user
			}
			want, got := filepath.Join(dir, "package"), filepath.Join(dir, "mount")
			writeModules(t, want)
			writeModules(t, got)
			const user = 65534
			several, uses := filepath.Join(got, "several"), filepath.Join(got, "uses")
			check(t, os.Chown(several, user, user))
			log := makeExternal(t, mnt, several, "-j2", "W=1", "C=1") + makeExternal(t, mnt, uses, extraSymbols(got))
			for _, bad := range []string{"warning", "WARNING", "skew", "Read-only", "rror:"} {
				if strings.Contains(log, bad) {
					t.Errorf("make says %q:\n%s", bad, log)
				}
			}
			makeExternal(t, headers, filepath.Join(want, "several"), "-j2")
			makeExternal(t, headers, filepath.Join(want, "uses"), extraSymbols(want))
			for _, module := range []string{"several/hello.ko", "several/multi.ko", "several/exports.ko", "uses/uses.ko"} {
				if !bytes.Equal(code(t, filepath.Join(want, module)), code(t, filepath.Join(got, module))) {
					t.Errorf("%s differs from what the package of headers gives", module)
				}
			}
			if log := makeExternal(t, mnt, uses, extraSymbols(got)); strings.Contains(log, " [M] ") {
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

// TestHostPrograms mounts trees with programs that this machine can run, and can't.
func TestHostPrograms(t *testing.T) {
	needMounts(t)
	need.Command(t, "gcc", "readelf")
	program := filepath.Join(t.TempDir(), "program")
	gcc := exec.Command("gcc", "-x", "c", "-o", program, "-")
	gcc.Stdin = strings.NewReader("#include <stdio.h>\nint main(void) { return puts(\"\"); }\n")
	check(t, output(gcc))
	fixdep := string(content(t, program))
	headers, err := exec.Command("readelf", "-lV", program).Output()
	check(t, err)
	interpreter := regexp.MustCompile(`interpreter: (.*)]`).FindSubmatch(headers)
	versions := regexp.MustCompile(`Name: GLIBC_(\S+) `).FindAllSubmatch(headers, -1)
	need.That(t, interpreter != nil && len(versions) > 0, "programs with a dynamic linker, and glibc")
	linker, libc := string(interpreter[1]), ""
	for _, v := range versions {
		if source.CompareVersions(string(v[1]), libc) > 0 {
			libc = string(v[1])
		}
	}

	tree := func(fixdep string) string {
		file := filepath.Join(worldReadable(t), "kbuild.tar.xz")
		check(t, os.WriteFile(file, tartest.XZ(t, tartest.Tar(t,
			tartest.File("Makefile", ""), tartest.File("scripts/Makefile.build", ""),
			tartest.File("scripts/basic/fixdep", fixdep).Mode(0o755), tartest.File("scripts/mod/modpost", "#!/bin/sh\n").Mode(0o755),
		), 0), 0o644))
		return file
	}
	warning := func(archive string) string {
		t.Helper()
		_, stderr, status := run(t, "--no-cache", "--fake", archive, mountpoint(t))
		if status != 0 {
			t.Errorf("exit status %d", status)
		}
		return strings.TrimPrefix(stderr, "kheadersfs: warning: "+archive+": ")
	}

	here := tree(fixdep)
	var info struct{ Programs *source.Program }
	stdout, stderr, _ := run(t, "info", "--json", here)
	if err := json.Unmarshal([]byte(stdout), &info); err != nil || info.Programs == nil || info.Programs.Machine == "" ||
		info.Programs.Interpreter != linker || info.Programs.Glibc != libc {
		t.Errorf("%v %v %s, not %s and %s", info.Programs, err, stderr, linker, libc)
	}
	if w := warning(here); w != "" {
		t.Errorf("warning %q", w)
	}

	elsewhere := strings.Replace(linker, "ld", "xx", 1)
	got := warning(tree(strings.ReplaceAll(fixdep, linker, elsewhere)))
	if want := "modules can't be built in it: its programs are for " + info.Programs.Machine + ", and need " + elsewhere + "\n"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	newer := "9" + libc[1:]
	got = warning(tree(strings.ReplaceAll(fixdep, "\x00GLIBC_"+libc+"\x00", "\x00GLIBC_"+newer+"\x00")))
	if want := "modules can't be built in it: its programs need glibc " + newer + "\n"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	for _, none := range []string{"", "\x7fELF", fixdep[:len(fixdep)/2], "#!/bin/sh\n"} {
		archive := tree(none)
		if w := warning(archive); w != "" {
			t.Errorf("a program of %d bytes: warning %q", len(none), w)
		}
		if stdout, _, status := run(t, "info", archive); status != 0 || strings.Contains(stdout, "programs") {
			t.Errorf("a program of %d bytes: status %d, %s", len(none), status, stdout)
		}
	}
}

// TestReadmeModules does what README says on building modules, word for word.
func TestReadmeModules(t *testing.T) {
	t.Parallel()
	needMounts(t)
	need.Command(t, "make", "gcc", "xz")
	kernel := debianKernel(t, kernels(t)[0])
	_, section, _ := strings.Cut(string(content(t, "../README.md")), "\n### Build modules\n")
	_, commands, _ := strings.Cut(section, "```sh\n")
	commands, _, _ = strings.Cut(commands, "\n```")
	top := t.TempDir()
	writeModules(t, top)
	dir := filepath.Join(top, "several")
	inPlaces(t, []string{"readme-modules.sh"}, "COMMANDS="+commands, "HEADERS="+headersOf(kernel), "EXE="+kheadersfs(t), "DIR="+dir)
	for _, module := range []string{"hello.ko", "multi.ko", "exports.ko"} {
		if len(content(t, filepath.Join(dir, module))) == 0 {
			t.Errorf("%s is empty", module)
		}
	}
}

// Modules that Debian packages for DKMS: of the network, filesystems, video, blocks, tracing,
// cryptography, ACPI and input.
var dkmsPackages = []string{
	"acpi-call-dkms", "digimend-dkms", "dm-writeboost-dkms", "gost-crypto-dkms", "iptables-netflow-dkms", "jool-dkms",
	"lttng-modules-dkms", "openafs-modules-dkms", "openvpn-dco-dkms", "rapiddisk-dkms", "tp-smapi-dkms",
	"v4l2loopback-dkms", "xtables-addons-dkms", "zfs-dkms",
}

// TestSlowDKMSPackages has DKMS build packages of Debian 12 and 13 with a mount, and gets the
// modules that the package of headers gives.
func TestSlowDKMSPackages(t *testing.T) {
	need.Slow(t)
	needMounts(t)
	need.Command(t, "objcopy", "xz")
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			system, dir := debianSystem(t, suite), worldReadable(t)
			log := inNamespace(t, append([]string{"dkms-packages.sh"}, dkmsPackages...), "SYSTEM="+system, "DIR="+dir, "EXE="+kheadersfs(t))
			t.Log(regexp.MustCompile("(?m)^without .*").FindAllString(log, -1))
			packages, _ := filepath.Glob(filepath.Join(dir, "package/*"))
			if len(packages) < 8 {
				t.Errorf("%d packages: %q", len(packages), packages)
			}
			modules, _ := filepath.Glob(filepath.Join(dir, "package/*/*.ko"))
			for _, want := range modules {
				name, err := filepath.Rel(filepath.Join(dir, "package"), want)
				check(t, err)
				if !bytes.Equal(code(t, want), code(t, filepath.Join(dir, "mount", name))) {
					t.Errorf("%s differs from what the package of headers gives", name)
				}
			}
			t.Logf("%d packages, %d modules", len(packages), len(modules))
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
