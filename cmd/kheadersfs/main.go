// SPDX-License-Identifier: Apache-2.0

// Command kheadersfs mounts the headers that a kernel carries as a tree.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"
)

// Set by the Makefile.
var version, commit string

const usage = `Usage: kheadersfs [flags] [SOURCE] MOUNTPOINT
       kheadersfs info [--json] [SOURCE]
       kheadersfs verify [SOURCE]
       kheadersfs extract [SOURCE] DIR
       kheadersfs pack [--objtree DIR] [--keep-comments] [--jobs N] -o FILE TREE

Mounts the headers that a kernel carries, as a tree that compilers read.

SOURCE is a headers archive (.tar.xz, or a cache file), a kheaders module (.ko,
.ko.gz, .ko.xz, .ko.zst), or an uncompressed kernel image (vmlinux, arm64 Image).
Without it, or with the word auto, none or kheaders, it is found: in /sys/kernel
or /proc, or in the kheaders module under /lib/modules, which is read, not loaded.

  info      tells where the archive is and what is in it (--json: for programs)
  verify    decodes everything and looks at every checksum
  extract   makes a plain copy in DIR, which must not exist
  pack      makes an archive that is read block by block of a kernel's build
            directory or source tree (built in --objtree), or of another archive

Flags:
`

const usageEnd = `
Unmount with umount MOUNTPOINT, or fusermount3 -u MOUNTPOINT if you are not root.
In /etc/fstab:  kheaders  /usr/src/kheaders  fuse.kheadersfs  defaults  0  0
Exit status: 0 done, 1 failed, 2 wrong usage.
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// A usageError is about how the command was called.
type usageError string

func (e usageError) Error() string { return string(e) }

func usageErrorf(format string, args ...any) error {
	return usageError(fmt.Sprintf(format, args...))
}

// A hintError carries the next step for the user.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// An exitStatus ends a command of which everything has been told already.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func withHint(err error, hint string) error { return &hintError{err, hint} }

func run(args []string, stdout, stderr io.Writer) int {
	err := dispatch(args, stdout, stderr)
	if err == nil {
		return 0
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	fmt.Fprintf(stderr, "kheadersfs: %v\n", err)
	var hint *hintError
	var usage usageError
	isUsage := errors.As(err, &usage)
	switch {
	case errors.As(err, &hint):
		fmt.Fprintf(stderr, "hint: %s\n", hint.hint)
	case isUsage:
		fmt.Fprintln(stderr, "hint: kheadersfs --help")
	}
	if isUsage {
		return 2
	}
	return 1
}

func dispatch(args []string, stdout, stderr io.Writer) error {
	command := mountCommand
	if len(args) > 0 {
		switch args[0] {
		case "info":
			command, args = infoCommand, args[1:]
		case "verify":
			command, args = verifyCommand, args[1:]
		case "extract":
			command, args = extractCommand, args[1:]
		case "pack":
			command, args = packCommand, args[1:]
		}
	}
	return command(args, stdout, stderr)
}

// parse parses the arguments of a command, of which there may be min to max
// besides the flags. done is true when --help or --version was all.
func parse(flags *pflag.FlagSet, args []string, min, max int, stdout io.Writer) (done bool, err error) {
	help := flags.BoolP("help", "h", false, "show this text")
	showVersion := flags.Bool("version", false, "show version, commit and Go")
	flags.SortFlags = false
	flags.Usage = func() {}
	if err := flags.Parse(args); err != nil {
		return false, usageErrorf("%v", err)
	}
	empty := func(name string) bool {
		f := flags.Lookup(name)
		return f != nil && f.Changed && f.Value.String() == ""
	}
	switch n := flags.NArg(); {
	case *help:
		all := newMountFlags(&mountConfig{})
		all.SortFlags = false
		all.AddFlag(flags.Lookup("help"))
		all.AddFlag(flags.Lookup("version"))
		_, err := fmt.Fprint(stdout, usage, all.FlagUsages(), usageEnd)
		return true, err
	case *showVersion:
		_, err := fmt.Fprintln(stdout, versionLine())
		return true, err
	case empty("release"):
		return false, usageErrorf("--release names no release")
	case empty("cache-dir"):
		return false, usageErrorf("--cache-dir names no directory")
	case n < min:
		return false, usageErrorf("too few arguments")
	case n > max:
		return false, usageErrorf("too many arguments: %q", flags.Args()[max:])
	}
	return false, nil
}

func versionLine() string {
	v, c := version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		v = cmp.Or(v, info.Main.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				c = cmp.Or(c, s.Value)
			}
		}
	}
	return fmt.Sprintf("kheadersfs %s (commit %s, %s %s/%s)",
		cmp.Or(v, "unknown"), cmp.Or(c, "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
