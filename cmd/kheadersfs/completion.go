// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"strings"

	"github.com/spf13/pflag"
)

const completionHelp = `SHELL is bash, zsh or fish. The script completes commands, flags, words of -o
and values. make install puts it where the shell looks for it; elsewhere:

  eval "$(kheadersfs completion bash)"
  eval "$(kheadersfs completion zsh)"
  kheadersfs completion fish | source
`

// shells are those that there are completions for.
var shells = []string{"bash", "zsh", "fish"}

func defineCompletion(*pflag.FlagSet) func(*call) error {
	return func(c *call) error {
		var script string
		switch shell := c.operands[0]; shell {
		case "bash":
			script = bashCompletion()
		case "zsh":
			script = zshCompletion()
		case "fish":
			script = fishCompletion()
		default:
			return usageErrorf("SHELL %s: none of %s", shell, strings.Join(shells, ", "))
		}
		_, err := io.WriteString(c.stdout, script)
		return err
	}
}

// A value is what a flag, a word of -o or an operand takes.
type value struct {
	kind  valueKind
	words []string // of oneOf
}

type valueKind int

const (
	anything valueKind = iota
	file
	directory
	release // a directory of /lib/modules
	options // words of -o, with commas between them
	oneOf
)

// valueOf returns what a name in the help stands for.
func valueOf(name string) value {
	switch name {
	case "SOURCE", "FILE", "TREE":
		return value{kind: file}
	case "DIR", "MOUNTPOINT":
		return value{kind: directory}
	case "R":
		return value{kind: release}
	case "OPTIONS":
		return value{kind: options}
	case "TOOL":
		return value{oneOf, cflagsTools}
	case "PROCESSOR":
		return value{oneOf, processors()}
	case "SHELL":
		return value{oneOf, shells}
	case "COMMAND":
		return value{oneOf, commandNames()}
	}
	return value{}
}

// operand returns what the operands of a command are. A SOURCE in front of a directory can
// be left out: both are completed as files, of which directories are some.
func (cmd *command) operand() value {
	if len(cmd.operands) == 0 {
		return value{}
	}
	return valueOf(cmd.operands[0])
}

// A completion is a flag of a command, or a word of -o.
type completion struct {
	short, long string
	help        string
	takes       string // the name of its value in the help; empty if it has none
	repeats     bool   // it may be given several times
}

// completions returns what the flags of a command complete to.
func (cmd *command) completions() []completion {
	flags, _ := cmd.flags()
	return completionsOf(flags)
}

func completionsOf(flags *pflag.FlagSet) []completion {
	var all []completion
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			takes, help := pflag.UnquoteUsage(f)
			all = append(all, completion{f.Shorthand, f.Name, help, takes, f.Value.Type() == "stringArray"})
		}
	})
	return all
}

// optionCompletions returns what words of -o complete to. Words that change nothing here are
// left out.
func optionCompletions() []completion {
	all := completionsOf((&mountConfig{}).words())
	for _, word := range ownWords {
		c := completion{long: word, help: "passed to the kernel"}
		if name, ok := strings.CutSuffix(word, "="); ok {
			c.long, c.takes = name, "CONTEXT"
		}
		all = append(all, c)
	}
	return all
}

// word returns the completion as a word of -o.
func (c completion) word() string {
	if c.takes != "" {
		return c.long + "="
	}
	return c.long
}
