// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/kernel"
	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestClang compiles the same object against the mount and against a tree that
// tar has unpacked.
func TestClang(t *testing.T) {
	need.Command(t, "clang")
	source := filepath.Join(t.TempDir(), "prog.c")
	check(t, os.WriteFile(source, []byte(`
#include <linux/sched.h>
#include <linux/fs.h>
#include <linux/blkdev.h>
#include <net/sock.h>

int pid(struct task_struct *t, struct file *f, struct sock *sk)
{
	return t->pid + f->f_mode + sk->sk_protocol;
}
`), 0o644))
	compile := func(tree string) []byte {
		object := filepath.Join(t.TempDir(), "prog.o")
		check(t, output(exec.Command("./compile.sh", tree, source, object)))
		return content(t, object)
	}
	mounted, plain := compile(mount(t, stockArchive(t))), compile(stockTree(t))
	if !bytes.Equal(mounted, plain) || len(plain) < 500 {
		t.Errorf("objects of %d and %d bytes differ", len(mounted), len(plain))
	}
}

// TestCompilers has what reads C besides say and write the same for the mount as for the
// unpacked tree.
func TestCompilers(t *testing.T) {
	arch := map[string]string{"amd64": "x86", "arm64": "arm64"}[runtime.GOARCH]
	need.That(t, arch != "", "a processor that this test knows")
	// Assembly of the processor is nothing for BPF: there are the headers for users left.
	const forKernel = "#include <linux/sched.h>\n#include <net/sock.h>\n" +
		"int prog(struct task_struct *t, struct sock *s);\nint prog(struct task_struct *t, struct sock *s) { return t->pid + s->sk_protocol; }\n"
	const forBPF = "#include <linux/bpf.h>\n#include <linux/if_ether.h>\n#include <linux/pkt_cls.h>\n" +
		"int prog(struct __sk_buff *b) { return b->len > sizeof(struct ethhdr) ? TC_ACT_OK : TC_ACT_SHOT; }\n"
	var all, uapi []string
	for _, dir := range kernel.IncludeDirs(arch) {
		all = append(all, "-I"+dir)
		if strings.HasSuffix(dir, "uapi") {
			uapi = append(uapi, "-I"+dir)
		}
	}
	all = append(all, "-include", "include/linux/compiler-version.h", "-include", "include/linux/kconfig.h",
		"-include", "include/linux/compiler_types.h", "-D__KERNEL__", `-DKBUILD_MODNAME="test"`, `-DKBUILD_MODFILE="test"`, `-DKBUILD_BASENAME="test"`)
	for _, c := range []struct {
		program string
		command []string
		headers []string
	}{
		{forKernel, []string{"gcc", "-std=gnu11", "-O2", "-S", "-o", "/dev/stdout", "-w", "-fno-stack-protector", "-fno-pie"}, all},
		{forKernel, []string{"sparse"}, all},
		{forBPF, []string{"clang", "-target", "bpf", "-O2", "-S", "-o", "/dev/stdout"}, append(uapi, "-Iinclude", "-D__EXPORTED_HEADERS__")},
	} {
		t.Run(c.command[0], func(t *testing.T) {
			need.Command(t, c.command[0])
			source := filepath.Join(t.TempDir(), "prog.c")
			check(t, os.WriteFile(source, []byte(c.program), 0o644))
			sameForBoth(t, func(tree string, _ ...string) (string, error) {
				cmd := exec.Command(c.command[0], slices.Concat(c.command[1:], []string{"-nostdinc"}, c.headers, []string{source})...)
				cmd.Dir = tree
				out, err := cmd.CombinedOutput()
				return string(out), err
			})
		})
	}
}

// TestBpftrace runs a program that includes kernel headers.
func TestBpftrace(t *testing.T) {
	needRoot(t)
	need.Command(t, "bpftrace", "timeout")
	program := `
#include <linux/sched.h>
#include <linux/fs.h>
BEGIN { printf("%d %d\n", sizeof(struct task_struct), sizeof(struct file)); exit(); }`
	trace := func(tree string, args ...string) (string, error) {
		cmd := exec.Command("timeout", append([]string{"60", "bpftrace"}, append(args, "-e", program)...)...)
		cmd.Env = append(os.Environ(), "BPFTRACE_KERNEL_SOURCE="+tree, "BPFTRACE_KERNEL_BUILD="+tree)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	sameForBoth(t, trace)
	mnt := mount(t, stockArchive(t))
	out, err := trace(mnt, "-d")
	if strings.Contains(out, "invalid option for -d") { // a newer one wants to know of what
		out, err = trace(mnt, "-d", "all")
	}
	if err != nil || !strings.Contains(out, "define") {
		t.Errorf("-d: %v\n%s", err, out)
	}
}

// TestBCC compiles a program as bcc does, and compares the BPF instructions.
func TestBCC(t *testing.T) {
	needRoot(t)
	need.Command(t, "timeout")
	const python = "/usr/bin/python3" // Debian's, which has Debian's bcc
	need.That(t, exec.Command(python, "-c", "import bcc").Run() == nil, "Debian's python3-bpfcc")
	program := `
import sys
from bcc import BPF
b = BPF(text=r'''
#include <linux/sched.h>
#include <linux/fs.h>
#include <net/sock.h>
int prog(struct pt_regs *ctx, struct file *file) {
	struct task_struct *t = (struct task_struct *)bpf_get_current_task();
	return t->pid + file->f_mode + sizeof(struct sock);
}
''')
print(b.dump_func("prog").hex())
`
	sameForBoth(t, func(tree string, _ ...string) (string, error) {
		cmd := exec.Command("timeout", "60", python, "-c", program)
		cmd.Env = append(os.Environ(), "BCC_KERNEL_SOURCE="+tree)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if err != nil {
			return stderr.String(), err
		}
		return stdout.String(), nil
	})
}

// bccArguments are what tools need that do nothing without.
var bccArguments = map[string][]string{
	"argdist": {"-C", "p::vfs_read()"}, "funccount": {"vfs_read"}, "funcinterval": {"vfs_read"}, "funclatency": {"vfs_read"},
	"funcslower": {"vfs_read"}, "stackcount": {"vfs_read"}, "ttysnoop": {"/dev/tty"}, "cpudist": {"1", "1"},
}

// TestSlowBCCTools compiles the programs of all of bcc's tools with the mount and with the
// unpacked tree: the same instructions, or the same error, as for a tool that needs another
// kernel, or arguments.
func TestSlowBCCTools(t *testing.T) {
	need.Slow(t)
	needRoot(t)
	needMounts(t)
	need.Command(t, "timeout", "execsnoop-bpfcc")
	tools, _ := filepath.Glob("/usr/sbin/*-bpfcc")
	tools = slices.DeleteFunc(tools, func(tool string) bool { return tool == "/usr/sbin/trace-bpfcc" }) // compiles the time in
	plain, mounted := stockTree(t), mount(t, stockArchive(t))
	compiled := 0
	for _, tool := range tools {
		name := strings.TrimSuffix(filepath.Base(tool), "-bpfcc")
		compile := func(tree string) (string, error) {
			cmd := exec.Command("timeout", append([]string{"60", "./bcc-tool.py", tool}, bccArguments[name]...)...)
			cmd.Env = append(os.Environ(), "BCC_KERNEL_SOURCE="+tree)
			out, err := cmd.CombinedOutput()
			return strings.ReplaceAll(string(out), tree, "TREE"), err
		}
		want, wantErr := compile(plain)
		got, err := compile(mounted)
		if (wantErr == nil) != (err == nil) || wantErr == nil && got != want {
			t.Errorf("%s: %v\n%s\ninstead of %v\n%s", name, err, got, wantErr, want)
		}
		if wantErr == nil {
			compiled++
		} else {
			t.Logf("%s: %v: %s", name, wantErr, want[strings.LastIndexByte(strings.TrimSpace(want), '\n')+1:])
		}
	}
	t.Logf("%d of %d tools compiled", compiled, len(tools))
	if compiled < 50 {
		t.Error("too few")
	}
}

// sameForBoth checks that a client gives the same answer for the mount and for a tree
// that tar has unpacked. It must fail for an empty directory, which shows that it reads
// the tree it is given.
func sameForBoth(t *testing.T, client func(tree string, args ...string) (string, error)) {
	t.Helper()
	needMounts(t)
	plain, err := client(stockTree(t))
	if err != nil {
		t.Fatalf("with the unpacked tree: %v\n%s", err, plain)
	}
	mounted, err := client(mount(t, stockArchive(t)))
	if err != nil || mounted != plain {
		t.Errorf("with the mount: %v\n%s\ninstead of\n%s", err, mounted, plain)
	}
	if out, err := client(t.TempDir()); err == nil {
		t.Errorf("with an empty directory:\n%s", out)
	}
}
