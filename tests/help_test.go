// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"regexp"
	"strings"
	"testing"
)

// overviewCommands returns the commands that kheadersfs --help lists, without the
// mount that needs no name.
func overviewCommands(t testing.TB) []string {
	t.Helper()
	stdout, _, _ := run(t, "--help")
	_, list, _ := strings.Cut(stdout, "  mount ")
	var names []string
	for _, line := range regexp.MustCompile(`(?m)^  (\w+)`).FindAllStringSubmatch(list, -1) {
		names = append(names, line[1])
	}
	if len(names) < 8 {
		t.Fatalf("only %q in:\n%s", names, stdout)
	}
	return names
}

// TestHelp checks that each form of asking for help gives the same, and that the
// overview fits a terminal of 24 lines and 80 columns.
func TestHelp(t *testing.T) {
	overview, stderr, status := run(t, "--help")
	if lines := strings.Count(overview, "\n"); status != 0 || stderr != "" || lines > 24 {
		t.Errorf("--help: exit status %d, %d lines, %s", status, lines, stderr)
	}
	for _, arg := range []string{"-h", "help"} {
		if got, _, _ := run(t, arg); got != overview {
			t.Errorf("%s prints:\n%s", arg, got)
		}
	}
	helps := map[string]string{"": overview}
	for _, name := range append(overviewCommands(t), "mount") {
		help, stderr, status := run(t, "help", name)
		if status != 0 || stderr != "" || !strings.HasPrefix(help, "Usage: kheadersfs "+name) {
			t.Errorf("help %s: exit status %d\n%s%s", name, status, help, stderr)
		}
		for _, flag := range []string{"--help", "-h"} {
			if got, _, status := run(t, name, flag); status != 0 || got != help {
				t.Errorf("%s %s: exit status %d\n%s", name, flag, status, got)
			}
		}
		helps[name] = help
	}
	for name, help := range helps {
		for line := range strings.Lines(help) {
			if len(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("help %s has a line of %d columns: %q", name, len(line), line)
			}
		}
	}
	for name, flags := range map[string]string{
		"mount":   "--foreground --release --root --strict --cache-dir --no-cache --verbose --debug --options noexec allow_other",
		"info":    "--json --release --root",
		"verify":  "--release --root damaged:",
		"ls":      "--long --release --root",
		"cat":     "--release --root",
		"extract": "--release --root",
		"pack":    "--output --force --objtree --kbuild --btf --no-check --keep-comments --block-size --jobs",
	} {
		for flag := range strings.FieldsSeq(flags) {
			if !strings.Contains(helps[name], flag) {
				t.Errorf("help %s doesn't name %s:\n%s", name, flag, helps[name])
			}
		}
	}
}

func TestVersionCommand(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"version"}, {"mount", "--version"}} {
		stdout, _, status := run(t, args...)
		if status != 0 || !strings.HasPrefix(stdout, "kheadersfs ") || !strings.Contains(stdout, "commit ") || !strings.Contains(stdout, "go1.") {
			t.Errorf("%q: exit status %d, %q", args, status, stdout)
		}
	}
}
