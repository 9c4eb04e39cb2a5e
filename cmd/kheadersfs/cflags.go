// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
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

With --for pkg-config it prints a file kheaders.pc, whose variables dir and arch
can be set by pkg-config --define-variable. Nothing need be mounted for that.
`

const envHelp = treeHelp + `
bcc and bpftrace take the tree from their environment:

  eval "$(kheadersfs env)"
`

// cflagsTools are the tools that flags are printed for.
var cflagsTools = []string{"clang", "clangd", "pkg-config"}

func defineCflags(flags *pflag.FlagSet) func(*call) error {
	tool := flags.String("for", "clang", "flags for `TOOL`: "+strings.Join(cflagsTools, ", "))
	name := flags.String("arch", kernelArch(runtime.GOARCH), "the `PROCESSOR`, as in arch/, or as Go calls it")
	return func(c *call) error {
		switch {
		case *tool == "bcc" || *tool == "bpftrace":
			return withHint(usageErrorf("%s takes the tree from its environment", *tool), `eval "$(kheadersfs env)"`)
		case !slices.Contains(cflagsTools, *tool):
			return usageErrorf("--for %s: none of %s", *tool, strings.Join(cflagsTools, ", "))
		}
		arch := kernelArch(*name)
		if *tool == "pkg-config" {
			return printPkgConfig(c.stdout, cmp.Or(c.operands[0], defaultMountpoint), arch)
		}
		dir, err := headersDir(c.operands[0])
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "arch", arch, "include")); err != nil {
			return withHint(fmt.Errorf("%s has no headers of processor %s: %w", dir, arch, bare(err)), "ls "+dir+"/arch, and --arch")
		}
		separator := "\n" // compile_flags.txt of clangd has an argument a line
		if *tool == "clang" {
			separator = " "
			err = checkWord(dir)
		}
		if err == nil {
			_, err = fmt.Fprintln(c.stdout, strings.Join(clangFlags(dir, arch), separator))
		}
		return err
	}
}

// checkWord reports that flags with a path in them would fall apart where a shell or
// pkg-config reads them.
func checkWord(path string) error {
	if !strings.ContainsAny(path, " \t\n\\'\"$`*?[#") {
		return nil
	}
	return withHint(fmt.Errorf("%q: a shell would not take it as one word", path), "mount on a directory without such characters in its path")
}

// printPkgConfig prints a file for pkg-config, in which the directory and the processor
// are variables.
func printPkgConfig(w io.Writer, dir, arch string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := checkWord(dir); err != nil {
		return err
	}
	v, _ := builtFrom()
	_, err = fmt.Fprintf(w, `# Made by kheadersfs cflags --for pkg-config.
dir=%s
arch=%s

Name: kheaders
Description: headers of the kernel, as kheadersfs mounts them
URL: https://github.com/kheadersfs/kheadersfs
Version: %s
Cflags: %s
`, dir, arch, v, strings.Join(clangFlags("${dir}", "${arch}"), " "))
	return err
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

// clangFlags are what bcc compiles with, with no other headers but the compiler's own.
// They have no quotes, since a shell that substitutes a command keeps those, and one that
// make calls removes them: the name of the module is the compiler's own string. As a system's
// headers they have no warnings, of which each version of clang has others.
func clangFlags(dir, arch string) []string {
	flags := []string{"-nostdlibinc"}
	for _, include := range kernel.IncludeDirs(arch) {
		flags = append(flags, "-isystem"+filepath.Join(dir, include))
	}
	return append(flags,
		"-include", filepath.Join(dir, kernel.ConfigFile),
		"-D__KERNEL__", "-D__TARGET_ARCH_"+arch, "-DCONFIG_CC_IS_CLANG", "-DKBUILD_MODNAME=__BASE_FILE__",
		"-fno-stack-protector", "-fms-extensions")
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

// kernelArches are the kernel's names of the processors that Go calls so.
var kernelArches = map[string]string{
	"amd64": "x86", "386": "x86", "arm": "arm", "arm64": "arm64", "ppc64le": "powerpc", "ppc64": "powerpc", "riscv64": "riscv",
	"s390x": "s390", "loong64": "loongarch", "mips": "mips", "mipsle": "mips", "mips64": "mips", "mips64le": "mips",
}

// kernelArch returns the kernel's name of a processor, by that or by Go's.
func kernelArch(name string) string { return cmp.Or(kernelArches[name], name) }

// processors returns the kernel's names of all processors.
func processors() []string { return slices.Compact(slices.Sorted(maps.Values(kernelArches))) }
