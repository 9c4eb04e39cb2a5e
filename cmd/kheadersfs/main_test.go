// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestCommands checks that the help of each command explains all that the table has
// for it, and that each flag of the mount but a few is a word of -o.
func TestCommands(t *testing.T) {
	for _, cmd := range commands() {
		flags, _ := cmd.flags()
		var b strings.Builder
		if err := cmd.printHelp(flags, &b); err != nil {
			t.Fatal(err)
		}
		help := b.String()
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			if f.Usage == "" || !strings.Contains(help, "--"+f.Name) {
				t.Errorf("%s: --%s is not explained", cmd.name, f.Name)
			}
		})
		for _, operand := range cmd.operands {
			if !strings.Contains(cmd.usage, operand) {
				t.Errorf("%s: %s is not in the usage %s", cmd.name, operand, cmd.usage)
			}
		}
		if cmd.required > len(cmd.operands) {
			t.Errorf("%s: requires %d of %q", cmd.name, cmd.required, cmd.operands)
		}
	}
	words := (&mountConfig{}).words()
	flags, _ := commandNamed("mount").flags()
	flags.VisitAll(func(f *pflag.Flag) {
		isWord := words.Lookup(f.Name) != nil
		switch f.Name {
		case "options", "fake", "replace", "resume", "ready-fd", "version", "help":
			isWord = !isWord
		}
		if !isWord {
			t.Errorf("--%s: a word of -o, or not, by mistake", f.Name)
		}
	})
}
