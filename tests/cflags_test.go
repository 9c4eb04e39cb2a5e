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

// TestCflags compiles with the flags that it prints, against a mount and against the same
// files unpacked: the compiler says nothing, and the objects are the same.
func TestCflags(t *testing.T) {
	need.Command(t, "clang")
	source := filepath.Join(t.TempDir(), "prog.c")
	check(t, os.WriteFile(source, []byte(includesMuch), 0o644))
	compile := func(tree string) []byte {
		flags, stderr, status := run(t, "cflags", tree)
		if status != 0 || stderr != "" {
			t.Fatal(stderr)
		}
		object := filepath.Join(t.TempDir(), "prog.o")
		out, err := exec.Command("clang", append(strings.Fields(flags), "-O2", "-c", "-o", object, source)...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%v\n%.2000s", err, out)
		}
		return content(t, object)
	}
	mounted, plain := compile(mount(t, stockArchive(t))), compile(stockTree(t))
	if !bytes.Equal(mounted, plain) || len(plain) < 500 {
		t.Errorf("objects of %d and %d bytes differ", len(mounted), len(plain))
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
	eachIn(t, "headersdir.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+smallArchive(t), "MNT="+mountpoint(t), "DIR="+worldReadable(t))
	})
	dir := t.TempDir()
	fails(t, 2, []string{"--for gcc: neither clang nor clangd", "hint: kheadersfs help cflags"}, "cflags", "--for", "gcc", dir)
	fails(t, 2, []string{"bcc takes the tree from its environment", "kheadersfs env"}, "cflags", "--for", "bcc", dir)
	fails(t, 1, []string{dir + ": no headers of a kernel", "hint: kheadersfs " + dir}, "cflags", dir)
	fails(t, 1, []string{dir + ": no headers of a kernel"}, "env", dir)
	fails(t, 1, []string{"has no headers of processor nonsense", "--arch"}, "cflags", "--arch", "nonsense", mount(t, smallArchive(t)))
}
