// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

const includesMuch = `
#include <linux/sched.h>
#include <linux/fs.h>
#include <net/sock.h>
int offsets[] = {
	__builtin_offsetof(struct task_struct, comm), __builtin_offsetof(struct file, f_path), __builtin_offsetof(struct sock, sk_protocol),
};
`

// TestCflags compiles with the flags that it prints, and with those of pkg-config, against
// a mount and against the same files unpacked: the compiler says nothing, and the objects
// are the same.
func TestCflags(t *testing.T) {
	need.Command(t, "clang", "pkg-config", "make")
	dir := t.TempDir()
	source := filepath.Join(dir, "prog.c")
	check(t, os.WriteFile(source, []byte(includesMuch), 0o644))
	compile := func(flags string) []byte {
		object := filepath.Join(t.TempDir(), "prog.o")
		out, err := exec.Command("clang", append(strings.Fields(flags), "-O2", "-c", "-o", object, source)...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%v\n%.2000s", err, out)
		}
		return content(t, object)
	}
	cflags := func(args ...string) string {
		flags, stderr, status := run(t, append([]string{"cflags"}, args...)...)
		if status != 0 || stderr != "" {
			t.Fatal(stderr)
		}
		return flags
	}
	mnt := mount(t, stockArchive(t))
	plain := compile(cflags(stockTree(t)))
	if len(plain) < 500 {
		t.Errorf("an object of %d bytes", len(plain))
	}
	if mounted := compile(cflags(mnt)); !bytes.Equal(mounted, plain) {
		t.Errorf("objects of %d and %d bytes differ", len(mounted), len(plain))
	}
	check(t, os.WriteFile(filepath.Join(dir, "kheaders.pc"), []byte(cflags("--for", "pkg-config")), 0o644))
	t.Setenv("PKG_CONFIG_PATH", dir)
	pkgConfig := []string{"pkg-config", "--define-variable=dir=" + mnt, "--cflags", "kheaders"}
	flags, err := exec.Command(pkgConfig[0], pkgConfig[1:]...).Output()
	check(t, err)
	if object := compile(string(flags)); !bytes.Equal(object, plain) {
		t.Errorf("by pkg-config: objects of %d and %d bytes differ", len(object), len(plain))
	}
	// make runs the compiler by a shell, which reads the flags once more.
	object := filepath.Join(dir, "prog.o")
	makefile := "CC = clang\nCFLAGS = -O2 $(shell " + strings.Join(pkgConfig, " ") + ")\nall: " + object + "\n"
	cmd := exec.Command("make", "-f", "-", "all")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(makefile)
	check(t, output(cmd))
	if !bytes.Equal(content(t, object), plain) {
		t.Error("by make: the object differs")
	}
}

// TestClangd has clangd look at a file that includes kernel headers.
func TestClangd(t *testing.T) {
	need.Command(t, "clangd")
	flags, _, _ := run(t, "cflags", "--for", "clangd", mount(t, stockArchive(t)))
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "compile_flags.txt"), []byte(flags), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "prog.c"), []byte(includesMuch), 0o644))
	cmd := exec.Command("clangd", "--check=prog.c")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "All checks completed, 0 errors") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestEnv has bpftrace find the headers by the environment that it prints. TestBpftrace
// shows that it then looks nowhere else.
func TestEnv(t *testing.T) {
	needRoot(t)
	need.Command(t, "bpftrace", "timeout", "sh")
	mnt := mount(t, stockArchive(t))
	trace := func(environment string) string {
		const script = `eval "$1"
for stage in "" all; do
  timeout 60 bpftrace -d $stage -e '#include <linux/sched.h>
BEGIN { printf("%d", sizeof(struct task_struct)); exit(); }' 2>&1 || :
done`
		out, err := exec.Command("sh", "-euc", script, "sh", environment).Output()
		check(t, err)
		return string(out)
	}
	environment, stderr, status := run(t, "env", mnt)
	if status != 0 || strings.Count(environment, "='"+mnt+"'\n") != 3 {
		t.Fatal(environment, stderr)
	}
	if out := trace(environment); !strings.Contains(out, "define") {
		t.Error(out)
	}
}

// TestHeadersDir finds the mount that cflags and env are about.
func TestHeadersDir(t *testing.T) {
	needMount8(t)
	need.Command(t, "pkg-config")
	eachIn(t, "headersdir.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+smallArchive(t), "MNT="+mountpoint(t), "DIR="+worldReadable(t))
	})
	dir := t.TempDir()
	fails(t, 2, []string{"--for gcc: none of clang, clangd, pkg-config", "hint: kheadersfs help cflags"}, "cflags", "--for", "gcc", dir)
	fails(t, 2, []string{"bcc takes the tree from its environment", "kheadersfs env"}, "cflags", "--for", "bcc", dir)
	fails(t, 1, []string{dir + ": no headers of a kernel", "hint: kheadersfs " + dir}, "cflags", dir)
	fails(t, 1, []string{dir + ": no headers of a kernel"}, "env", dir)
	fails(t, 1, []string{"a shell would not take it as one word"}, "cflags", "--for", "pkg-config", dir+"/a#b")
	fails(t, 1, []string{"has no headers of processor nonsense", "--arch"}, "cflags", "--arch", "nonsense", mount(t, smallArchive(t)))
}
