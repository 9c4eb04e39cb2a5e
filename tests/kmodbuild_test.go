// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestVersion compares the version of the program with that of DKMS, which
// only reads a literal, and with the versions that README names.
func TestVersion(t *testing.T) {
	need.Command(t, "make")
	version := strings.TrimSpace(string(content(t, "../VERSION")))
	if !regexp.MustCompile(`^\d+(\.\d+)+$`).MatchString(version) {
		t.Errorf("VERSION: %q", version)
	}
	commands, err := exec.Command("make", "-n", "-C", "..", "bin/kheadersfs").Output()
	check(t, err)
	for _, use := range []struct{ where, text, pattern string }{
		{"make", string(commands), `-X main\.version=(\S*) `},
		{"dkms.conf", string(content(t, "../kmod/dkms.conf")), `(?m)^PACKAGE_VERSION="(.*)"$`},
	} {
		if m := regexp.MustCompile(use.pattern).FindStringSubmatch(use.text); m == nil || m[1] != version {
			t.Errorf("%s: %q, VERSION says %s", use.where, m, version)
		}
	}
	for _, m := range regexp.MustCompile(`kheadersfs[/-](\d[\d.]*\d)`).FindAllStringSubmatch(string(content(t, "../README.md")), -1) {
		if m[1] != version {
			t.Errorf("README: %s, VERSION says %s", m[0], version)
		}
	}
}

// TestKmodNoHeaders builds for kernels that have no headers here.
func TestKmodNoHeaders(t *testing.T) {
	need.Command(t, "make")
	for kdir, hint := range map[string]string{
		"/lib/modules/1.2.3-none/build": "hint: install linux-headers-1.2.3-none (Debian) or the like, or give KDIR=DIR",
		t.TempDir():                     "hint: install the headers of that kernel, or give KDIR=DIR",
	} {
		log, err := exec.Command("make", "-C", "../kmod", "KDIR="+kdir).CombinedOutput()
		if want := "no kernel headers to build modules with in " + kdir + "\n" + hint + "\n"; err == nil || !strings.Contains(string(log), want) {
			t.Errorf("%v, not %q:\n%s", err, want, log)
		}
	}
}

// TestKmodPaths names the program by a path with a blank, and where to install
// by a relative path.
func TestKmodPaths(t *testing.T) {
	kernel, built := builtModule(t, kernels(t)[0])
	dir := moduleSource(t, built)
	check(t, os.Mkdir(filepath.Join(dir, "a b"), 0o755))
	check(t, os.Symlink("/bin/true", filepath.Join(dir, "a b/true")))
	makeModule(t, dir, kernel, "KHEADERSFS=a b/true", "install", "INSTALL_MOD_PATH=root")
	modules := filepath.Join(dir, "root/lib/modules", filepath.Base(kernel))
	if installed, _ := filepath.Glob(filepath.Join(modules, "updates/kheaders.ko*")); len(installed) != 1 { // some kernels' are compressed
		t.Errorf("installed: %q", installed)
	}
	content(t, filepath.Join(modules, "modules.dep"))
}

// TestKmodDKMSFailing gives the module to DKMS on a machine where it cannot be
// built for some of the kernels, and takes it away again.
func TestKmodDKMSFailing(t *testing.T) {
	testKmodDKMS(t, "failing")
}

func TestKmodDKMSMissing(t *testing.T) {
	testKmodDKMS(t, "missing")
}

// TestKmodDKMSWeak gives the module to DKMS where another kernel would get a
// link to it, and so to the headers of this one.
func TestKmodDKMSWeak(t *testing.T) {
	testKmodDKMS(t, "weak")
}

func testKmodDKMS(t *testing.T, what string) {
	t.Parallel()
	needMounts(t)
	need.Command(t, "dkms", "make", "gcc", "openssl", "xz")
	kernel, dir := debianKernel(t, kernels(t)[0]), t.TempDir()
	check(t, copyFiles(dir, "../kmod", moduleFiles...))
	inPlaces(t, []string{"kmod-dkms.sh", what}, "KERNELS="+kernel, "MODULE="+dir, "EXE="+kheadersfs(t))
}

// TestKmodOtherKernel loads a module with the headers of another kernel, which
// has the same symbols, so that this one accepts it.
func TestKmodOtherKernel(t *testing.T) {
	t.Parallel()
	need.Command(t, "qemu-system-x86_64", "busybox", "cpio")
	kernel, built := builtModule(t, kernels(t)[0])
	initrd := filepath.Join(t.TempDir(), "initrd")
	check(t, output(exec.Command("./kmod-other.sh", kernel, moduleSource(t, built), initrd)))
	console := boot(t, filepath.Join(kernel, "boot/vmlinuz-"+filepath.Base(kernel)), initrd)
	if want := "kheaders: holds the headers of 1.2.3-other, not of " + filepath.Base(kernel); !strings.Contains(console, want) {
		t.Errorf("not %q:\n%s", want, console)
	}
}
