// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"testing"
)

// TestQuote has a shell read what quote makes of a name.
func TestQuote(t *testing.T) {
	for name, want := range map[string]string{
		"include/linux/sched.h": "include/linux/sched.h",
		"a name with é.h":       "a name with é.h",
		`it's \ here`:           `it's \ here`,
		"a\x1b[31m.h":           `$'a\033[31m.h'`,
		"it's\n\\":              `$'it\'s\012\\'`,
		"\xff\u202e":            `$'\377\342\200\256'`,
	} {
		got := quote(name)
		if got != want {
			t.Errorf("%q: %s instead of %s", name, got, want)
		}
		if got == name {
			continue
		}
		out, err := exec.Command("bash", "-c", "printf %s "+got).Output()
		if err != nil || string(out) != name {
			t.Errorf("%q: bash makes %q of %s (%v)", name, out, got, err)
		}
	}
}
