// SPDX-License-Identifier: Apache-2.0

// Command kheadersfs mounts the headers that a kernel carries as a tree.
package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"
)

// Set by the Makefile.
var version, commit string

func main() {
	if isHelper(os.Args[0]) {
		os.Exit(runHelper(os.Args, os.Stdout, os.Stderr))
	}
	switch {
	case len(os.Args) == 3 && os.Args[1] == "--hold":
		os.Exit(report(hold(), os.Stderr))
	case len(os.Args) == 2 && os.Args[1] == "--look-up":
		os.Exit(report(lookUp(), os.Stderr))
	}
	err := dispatch(os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(report(err, os.Stderr))
}

// A command is what the first argument names.
type command struct {
	name     string
	usage    string   // operands, and what is required of flags
	operands []string // their names; those in front of the last required ones may be left out
	required int
	help     string // one line
	more     string // paragraphs for help COMMAND
	// define adds the flags of the command. What it returns runs the command
	// when they are parsed.
	define func(flags *pflag.FlagSet) func(c *call) error
}

// A call is one run of a command.
type call struct {
	args           []string // behind the name of the command
	named          bool     // the command was named
	operands       []string // one for each of the command's, empty if it was left out
	stdout, stderr io.Writer
}

// commands returns all commands, in the order of the help. The first one runs
// when no command is named.
func commands() []*command {
	return []*command{
		{"mount", "[SOURCE] MOUNTPOINT", []string{"SOURCE", "MOUNTPOINT"}, 1,
			"mount the headers; mount in front can be left out", mountHelp, defineMount},
		{"info", "[SOURCE]", []string{"SOURCE"}, 0,
			"print where the archive is and what is in it", infoHelp, defineInfo},
		{"verify", "[SOURCE]", []string{"SOURCE"}, 0,
			"decode everything and check every checksum", verifyHelp, defineVerify},
		{"ls", "[SOURCE] [PATH]", []string{"SOURCE", "PATH"}, 0,
			"list the files of the archive", lsHelp, defineLs},
		{"cat", "[SOURCE] PATH", []string{"SOURCE", "PATH"}, 1,
			"print a file of the archive", catHelp, defineCat},
		{"extract", "[SOURCE] DIR", []string{"SOURCE", "DIR"}, 1,
			"copy the tree into the new directory DIR", extractHelp, defineExtract},
		{"cflags", "[DIR]", []string{"DIR"}, 0,
			"print the compiler's flags for mounted headers", cflagsHelp, defineCflags},
		{"env", "[DIR]", []string{"DIR"}, 0,
			"print the environment for bcc and bpftrace", envHelp, defineEnv},
		{"link", "[MOUNTPOINT]", []string{"MOUNTPOINT"}, 0,
			"have bcc and bpftrace find mounted headers", linkHelp, defineLink},
		{"unlink", "[MOUNTPOINT]", []string{"MOUNTPOINT"}, 0,
			"remove what link has made", unlinkHelp, defineUnlink},
		{"pack", "-o FILE TREE", []string{"TREE"}, 1,
			"make an archive that is read block by block", packHelp, definePack},
		{"help", "[COMMAND]", []string{"COMMAND"}, 0,
			"print this help, or that of a command", "", defineHelp},
		{"version", "", nil, 0,
			"print version, commit and Go version", "", defineVersion},
		{"completion", "SHELL", []string{"SHELL"}, 1,
			"print the completions for a shell", completionHelp, defineCompletion},
	}
}

// commandNames returns the names of all commands.
func commandNames() []string {
	var names []string
	for _, cmd := range commands() {
		names = append(names, cmd.name)
	}
	return names
}

// commandNamed returns nil if there is no such command.
func commandNamed(name string) *command {
	for _, cmd := range commands() {
		if cmd.name == name {
			return cmd
		}
	}
	return nil
}

func dispatch(args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return withHint(usageErrorf("MOUNTPOINT is missing"), "kheadersfs --help")
	}
	if args[0] == "umount" || args[0] == "unmount" {
		return withHint(usageErrorf("kheadersfs does not unmount"), "umount MOUNTPOINT, or fusermount3 -u MOUNTPOINT if you are not root")
	}
	cmd := commandNamed(args[0])
	switch {
	case cmd != nil:
		return cmd.run(args[1:], true, stdout, stderr)
	case args[0] == "--help" || args[0] == "-h":
		return printOverview(stdout)
	}
	return commands()[0].run(args, false, stdout, stderr)
}

// run parses the arguments of a command and runs it. named is false for the mount
// that no command was named for.
func (cmd *command) run(args []string, named bool, stdout, stderr io.Writer) error {
	flags, start := cmd.flags()
	if err := flags.Parse(args); err != nil {
		return cmd.withHint(flagError(flags, err))
	}
	if isSet(flags, "help") {
		return cmd.printHelp(flags, stdout)
	}
	if isSet(flags, "version") {
		return printVersion(stdout)
	}
	operands, err := cmd.place(flags.Args())
	if err == nil {
		err = start(&call{args, named, operands, stdout, stderr})
	}
	return cmd.withHint(err)
}

// place returns an operand for each name that the command has for them.
func (cmd *command) place(args []string) ([]string, error) {
	most := len(cmd.operands)
	switch {
	case len(args) > most:
		return nil, usageErrorf("too many arguments: %q", args[most:])
	case len(args) < cmd.required:
		return nil, usageErrorf("%s is missing", cmd.operands[most-cmd.required+len(args)])
	}
	operands := make([]string, most)
	left := most - len(args)
	if cmd.required == 0 {
		left = 0
	}
	for i, arg := range args {
		name := cmd.operands[left+i]
		if arg == "" {
			return nil, usageErrorf("%s is an empty string", name)
		}
		if arg == "-" {
			return nil, withHint(usageErrorf("%s cannot be standard input or output", name), "name a file; one that is called - is ./-")
		}
		operands[left+i] = arg
	}
	return operands, nil
}

// withHint gives a usage error without a hint one that leads to the command's help.
func (cmd *command) withHint(err error) error {
	if isUsage(err) && hintOf(err) == "" {
		return withHint(err, "kheadersfs help "+cmd.name)
	}
	return err
}

func defineVersion(*pflag.FlagSet) func(*call) error {
	return func(c *call) error { return printVersion(c.stdout) }
}

// builtFrom returns the version and the commit of the program.
func builtFrom() (v, c string) {
	v, c = version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		v = cmp.Or(v, info.Main.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				c = cmp.Or(c, s.Value)
			}
		}
	}
	return cmp.Or(v, "unknown"), cmp.Or(c, "unknown")
}

func printVersion(w io.Writer) error {
	v, c := builtFrom()
	_, err := fmt.Fprintf(w, "kheadersfs %s (commit %s, %s %s/%s)\n", v, c, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
