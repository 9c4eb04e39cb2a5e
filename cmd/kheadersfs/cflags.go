// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kheadersfs/kheadersfs/fs"
	"github.com/kheadersfs/kheadersfs/index/kernel"
)

const treeHelp = `DIR is a mount, or another directory with the headers of a kernel. Without it,
the mount on /usr/src/kheaders is taken, or the only one that there is.
`

const cflagsHelp = treeHelp + `
  clang $(kheadersfs cflags) -O2 -c prog.c
  kheadersfs cflags --for clangd >compile_flags.txt

bcc and bpftrace have these flags by themselves, and take no others instead:
see kheadersfs help env.
`

const envHelp = treeHelp + `
bcc and bpftrace take the tree from their environment:

  eval "$(kheadersfs env)"
`

func defineCflags(flags *pflag.FlagSet) func(*call) error {
	tool := flags.String("for", "clang", "flags for `TOOL`: clang or clangd")
	arch := flags.String("arch", kernelArch(runtime.GOARCH), "the kernel's name of the `PROCESSOR`, as in arch/")
	return func(c *call) error {
		separator := " "
		switch *tool {
		case "clang":
		case "clangd": // compile_flags.txt has an argument a line
			separator = "\n"
		case "bcc", "bpftrace":
			return withHint(usageErrorf("%s takes the tree from its environment", *tool), `eval "$(kheadersfs env)"`)
		default:
			return usageErrorf("--for %s: neither clang nor clangd", *tool)
		}
		dir, err := headersDir(c.operands[0])
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "arch", *arch, "include")); err != nil {
			return withHint(fmt.Errorf("%s has no headers of processor %s: %w", dir, *arch, bare(err)), "ls "+dir+"/arch, and --arch")
		}
		if *tool == "clang" && strings.ContainsAny(dir, " \t\n\\'\"$`*?[") {
			return withHint(fmt.Errorf("%q: a shell would not take it as one word", dir), "mount on a directory without such characters in its path")
		}
		_, err = fmt.Fprintln(c.stdout, strings.Join(clangFlags(dir, *arch), separator))
		return err
	}
}

func defineEnv(*pflag.FlagSet) func(*call) error {
	return func(c *call) error {
		dir, err := headersDir(c.operands[0])
		if err != nil {
			return err
		}
		// What is quoted once means the same to each shell.
		quoted := "'" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
		for _, name := range []string{"BCC_KERNEL_SOURCE", "BPFTRACE_KERNEL_SOURCE", "BPFTRACE_KERNEL_BUILD"} {
			if _, err := fmt.Fprintf(c.stdout, "export %s=%s\n", name, quoted); err != nil {
				return err
			}
		}
		return nil
	}
}

// clangFlags are what bcc compiles with, with no other headers but the compiler's own. A
// kernel with indirect branch tracking has attributes that clang ignores without
// -fcf-protection, which is not for every target.
func clangFlags(dir, arch string) []string {
	flags := []string{"-nostdlibinc"}
	for _, include := range kernel.IncludeDirs(arch) {
		flags = append(flags, "-I"+filepath.Join(dir, include))
	}
	return append(flags,
		"-include", filepath.Join(dir, kernel.ConfigFile),
		"-D__KERNEL__", "-D__TARGET_ARCH_"+arch, "-DCONFIG_CC_IS_CLANG", `-DKBUILD_MODNAME="kheaders"`,
		"-fno-stack-protector", "-fms-extensions", "-Wno-microsoft-anon-tag", "-Wno-unused-value", "-Wno-pointer-sign",
		"-Wno-address-of-packed-member", "-Wno-gnu-variable-sized-type-not-at-end", "-Wno-ignored-attributes",
		"-Wno-unknown-warning-option")
}

// headersDir returns the absolute path of a directory with headers: dir, or else a mount.
func headersDir(dir string) (string, error) {
	if dir == "" {
		mounts, err := mountsOf(fs.Type)
		switch {
		case err != nil:
			return "", err
		case slices.Contains(mounts, defaultMountpoint):
			dir = defaultMountpoint
		case len(mounts) == 1:
			dir = mounts[0]
		case len(mounts) == 0:
			return "", withHint(fmt.Errorf("no headers are mounted"), "kheadersfs "+defaultMountpoint+", or name a directory")
		default:
			return "", withHint(usageErrorf("DIR is missing: %d mounts", len(mounts)), strings.Join(mounts, ", "))
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, kernel.ConfigFile)); err != nil {
		return "", withHint(fmt.Errorf("%s: no headers of a kernel: %s: %w", dir, kernel.ConfigFile, bare(err)), "kheadersfs "+dir+" mounts them there")
	}
	return dir, nil
}

// kernelArch returns the kernel's name of a processor that Go calls goarch.
func kernelArch(goarch string) string {
	names := map[string]string{
		"amd64": "x86", "386": "x86", "ppc64le": "powerpc", "ppc64": "powerpc", "riscv64": "riscv", "s390x": "s390", "loong64": "loongarch",
		"mips": "mips", "mipsle": "mips", "mips64": "mips", "mips64le": "mips",
	}
	if name := names[goarch]; name != "" {
		return name
	}
	return goarch
}
