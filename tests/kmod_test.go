// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// kernels returns the cloud kernels that Debian has, by the names of their
// metapackages: the default one first, then those of other series, as 6.12 on
// Debian 12.
func kernels(t testing.TB) []string {
	t.Helper()
	need.Long(t)
	need.Command(t, "apt-get", "dpkg-deb")
	need.That(t, runtime.GOARCH == "amd64", "an amd64 machine")
	flavours.Do(func() {
		var out []byte
		out, flavours.err = exec.Command("./kernel.sh", "flavours", "cloud-amd64").Output()
		flavours.path = string(out)
	})
	need.That(t, flavours.err == nil, "apt's packages of kernels: %v", flavours.err)
	return strings.Fields(flavours.path)
}

var flavours once

// moduleFiles are the module's sources.
var moduleFiles = []string{"COPYING", "Kbuild", "Makefile", "dkms.conf", "dkms.sh", "kheaders.c"}

const moduleArchive = "kheaders_data.tar.xz"

// debianKernel returns a directory with a kernel and its headers.
func debianKernel(t testing.TB, flavour string) string {
	t.Helper()
	need.Command(t, "apt-get", "dpkg-deb")
	need.That(t, runtime.GOARCH == "amd64", "an amd64 machine")
	var stderr bytes.Buffer
	cmd := exec.Command("./kernel.sh", "image", flavour, "out/kernels")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	need.That(t, err == nil, "apt's package linux-image-%s: %v\n%s", flavour, err, stderr.String())
	return strings.TrimSpace(string(out))
}

// moduleSource returns a copy of the module's sources, with the archive that
// another directory has.
func moduleSource(t testing.TB, built string) string {
	t.Helper()
	dir := t.TempDir()
	check(t, copyFiles(dir, "../kmod", moduleFiles...))
	check(t, copyFiles(dir, built, moduleArchive))
	return dir
}

func copyFiles(to, from string, names ...string) error {
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeModule runs make in a copy of the module's sources, and returns what it
// printed.
func makeModule(t testing.TB, dir, kernel string, args ...string) string {
	t.Helper()
	log, err := makeModuleErr(dir, kernel, args...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, log)
	}
	return log
}

func makeModuleErr(dir, kernel string, args ...string) (string, error) {
	cmd := exec.Command("make", append(args, "-C", dir, "KDIR="+headersOf(kernel))...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	log, err := cmd.CombinedOutput()
	return string(log), err
}

func headersOf(kernel string) string {
	return filepath.Join(kernel, "usr/src/linux-headers-"+filepath.Base(kernel))
}

var builtModules sync.Map // a *once for each flavour

// builtModule returns a kernel, and a directory in which its headers have been
// packed and the module built. The file log there has what make printed.
func builtModule(t testing.TB, flavour string) (kernel, dir string) {
	t.Helper()
	need.Command(t, "make", "gcc", "xz")
	kernel = debianKernel(t, flavour)
	program := kheadersfs(t)
	built, _ := builtModules.LoadOrStore(flavour, &once{})
	dir = built.(*once).get(t, "kmod-"+flavour, func(dir string) error {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := copyFiles(dir, "../kmod", moduleFiles...); err != nil {
			return err
		}
		log, err := makeModuleErr(dir, kernel, "KHEADERSFS="+program, "W=1")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, log)
		}
		return os.WriteFile(filepath.Join(dir, "log"), []byte(log), 0o644)
	})
	return kernel, dir
}

// noPack is for builds where the archive lies there already.
const noPack = "KHEADERSFS=/bin/true"

// TestKmodBuild builds the module on each kernel's headers.
func TestKmodBuild(t *testing.T) {
	t.Parallel()
	need.Command(t, "sparse", "openssl", "modinfo")
	warning := regexp.MustCompile(`(?im)^.*(warning|error).*$`)
	for _, flavour := range kernels(t) {
		t.Run(flavour, func(t *testing.T) {
			kernel, built := builtModule(t, flavour)
			if w := warning.FindString(string(content(t, filepath.Join(built, "log")))); w != "" {
				t.Errorf("with W=1: %s", w)
			}
			archive := content(t, filepath.Join(built, moduleArchive))
			module := content(t, filepath.Join(built, "kheaders.ko"))
			if !bytes.Contains(module, archive) {
				t.Error("the archive isn't in it")
			}

			dir := moduleSource(t, built)
			log := makeModule(t, dir, kernel, noPack, "C=2")
			if w := warning.FindString(log); w != "" || !strings.Contains(log, "  CHECK ") {
				t.Errorf("with sparse: %s\n%s", w, log)
			}
			if !bytes.Equal(content(t, filepath.Join(dir, "kheaders.ko")), module) {
				t.Error("another module when it is built elsewhere")
			}

			other := append(archive, "other headers"...)
			check(t, os.WriteFile(filepath.Join(dir, moduleArchive), other, 0o644))
			makeModule(t, dir, kernel, noPack)
			if !bytes.Contains(content(t, filepath.Join(dir, "kheaders.ko")), other) {
				t.Error("not built again for another archive")
			}

			testKmodSigned(t, kernel, dir)

			makeModule(t, dir, kernel, "clean")
			var left []string
			entries, err := os.ReadDir(dir)
			check(t, err)
			for _, e := range entries {
				left = append(left, e.Name())
			}
			if !slices.Equal(left, moduleFiles) {
				t.Errorf("after make clean: %q", left)
			}
		})
	}
}

// testKmodSigned installs the module on a machine that has a key.
func testKmodSigned(t *testing.T, kernel, dir string) {
	root, key := t.TempDir(), filepath.Join(t.TempDir(), "mok")
	check(t, output(exec.Command("openssl", "req", "-new", "-x509", "-nodes", "-subj", "/CN=test key", "-newkey", "rsa:2048",
		"-keyout", key+".key", "-outform", "DER", "-out", key+".pub")))
	makeModule(t, dir, kernel, noPack, "install", "INSTALL_MOD_PATH="+root, "MOK_KEY="+key+".key", "MOK_CERT="+key+".pub")
	files, _ := filepath.Glob(filepath.Join(root, "lib/modules", filepath.Base(kernel), "updates/kheaders.ko*"))
	if len(files) != 1 {
		t.Fatalf("installed: %q", files)
	}
	signer, err := exec.Command("modinfo", "-F", "signer", files[0]).Output()
	if err != nil || string(signer) != "test key\n" {
		t.Errorf("signer %q, %v", signer, err)
	}
	dep := string(content(t, filepath.Join(root, "lib/modules", filepath.Base(kernel), "modules.dep")))
	if !strings.Contains(dep, "updates/kheaders.ko") {
		t.Errorf("modules.dep: %q", dep)
	}
}

func TestKmodNoProgram(t *testing.T) {
	kernel := debianKernel(t, kernels(t)[0])
	dir := t.TempDir()
	check(t, copyFiles(dir, "../kmod", moduleFiles...))
	log, err := makeModuleErr(dir, kernel, "KHEADERSFS=nothing-of-this-name")
	if err == nil || !strings.Contains(log, "no program kheadersfs: install it, or give KHEADERSFS=PATH") {
		t.Errorf("%v\n%s", err, log)
	}
}

func TestKmodCheckpatch(t *testing.T) {
	need.Command(t, "apt-get", "dpkg-deb", "perl", "xz")
	log, err := exec.Command("./checkpatch.sh", "out/checkpatch").CombinedOutput()
	need.That(t, err == nil || !strings.Contains(string(log), "apt has no"), "%s", log)
	if err != nil {
		t.Errorf("%v\n%s", err, log)
	}
}

// TestKmodDKMS gives the module to DKMS on a machine with one kernel, and then
// has Debian's DKMS told of another, as the kernel's package does, which has a
// PATH of its own.
func TestKmodDKMS(t *testing.T) {
	t.Parallel()
	needMounts(t)
	need.Command(t, "dkms", "modinfo", "openssl")
	need.Command(t, "make", "gcc", "pahole", "xz")
	var boot []string
	for _, flavour := range kernels(t) {
		boot = append(boot, debianKernel(t, flavour))
	}
	dir := t.TempDir()
	check(t, copyFiles(dir, "../kmod", moduleFiles...))
	inPlaces(t, []string{"kmod-dkms.sh", "kernels"},
		"KERNELS="+strings.Join(boot, " "), "MODULE="+dir, "EXE="+kheadersfs(t))
}
