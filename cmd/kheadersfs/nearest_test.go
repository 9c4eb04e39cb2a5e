// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"info", "verify", "ls", "cat", "extract", "pack", "foreground"}
	for word, want := range map[string]string{
		"ifno":       "info",
		"inof":       "info",
		"info":       "info",
		"nfo":        "info",
		"verfiy":     "verify",
		"exctract":   "extract",
		"forgeround": "foreground",
		"foregrund":  "foreground",
		"s":          "ls",
		"unpack":     "",
		"mnt":        "",
		"":           "",
		"nonsense":   "",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("%q: %q instead of %q", word, got, want)
		}
	}
}
