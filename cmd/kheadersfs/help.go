// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

const overviewHead = `Usage: kheadersfs [flags] [SOURCE] MOUNTPOINT
       kheadersfs COMMAND [flags] [operands]

Mounts the headers that a kernel carries, as a tree that compilers read.
Without SOURCE, or with auto, none or kheaders in its place, it finds them in
/sys/kernel or /proc, or in the kheaders module under /lib/modules.

`

const overviewEnd = `
Unmount with umount MOUNTPOINT; if you are not root, fusermount3 -u MOUNTPOINT.
In /etc/fstab:  kheaders  /usr/src/kheaders  kheadersfs  nofail  0  0
Exit status: 0 done, 1 failed, 2 wrong usage.
`

// sourceHelp is about SOURCE, in the help of each command that has one.
const sourceHelp = `SOURCE is the path of a headers archive, a file of the cache, a kheaders module,
or a kernel image. Without it, or with auto, none or kheaders in its place, the
archive is found: in /sys/kernel or /proc, or in the kheaders module under
/lib/modules, which is read and not loaded.
`

func printOverview(w io.Writer) error {
	var b strings.Builder
	b.WriteString(overviewHead)
	for _, cmd := range commands() {
		if cmd.name == "completion" { // which make install calls; the screen is small
			continue
		}
		fmt.Fprintf(&b, "  %-29s%s\n", strings.TrimSuffix(cmd.name+" "+cmd.usage, " "), cmd.help)
	}
	b.WriteString(overviewEnd)
	_, err := io.WriteString(w, b.String())
	return err
}

// printHelp prints the help of one command, with all its flags.
func (cmd *command) printHelp(flags *pflag.FlagSet, w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s%s.\n", strings.TrimSpace("kheadersfs "+cmd.name+" [flags] "+cmd.usage),
		strings.ToUpper(cmd.help[:1]), cmd.help[1:])
	if len(cmd.operands) > 0 && cmd.operands[0] == "SOURCE" {
		b.WriteString("\n" + sourceHelp)
	}
	fmt.Fprintf(&b, "\nFlags:\n%s", flags.FlagUsagesWrapped(80))
	if cmd.more != "" {
		b.WriteString("\n" + cmd.more)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func defineHelp(*pflag.FlagSet) func(*call) error {
	return func(c *call) error {
		name := c.operands[0]
		if name == "" {
			return printOverview(c.stdout)
		}
		cmd := commandNamed(name)
		if cmd == nil {
			return unknownCommand(name)
		}
		flags, _ := cmd.flags()
		return cmd.printHelp(flags, c.stdout)
	}
}

func unknownCommand(name string) error {
	err := usageErrorf("unknown command %q", name)
	if near := nearest(name, commandNames()); near != "" {
		return withHint(err, "did you mean "+near+"?")
	}
	return withHint(err, "kheadersfs --help")
}
