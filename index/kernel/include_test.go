// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// pieces has a Scanner read a text that is written in pieces.
func pieces(text string, size func() int) []Include {
	var s Scanner
	for text != "" {
		n := min(len(text), size())
		s.Write([]byte(text[:n]))
		text = text[n:]
	}
	return s.End()
}

func TestScanner(t *testing.T) {
	text := "#include <a.h>\n# include \"b.h\" // include\r\nint include;\n\n/* #include <no.h> */\n#define include\n" +
		strings.Repeat("x", 3*maxLine) + "\n#include <c/d.h>\n" + strings.Repeat("#", 2*maxLine) + "include <no.h>\n#include <last.h>"
	want := []Include{{"a.h", false}, {"b.h", true}, {"c/d.h", false}, {"last.h", false}}
	if got := Includes([]byte(text)); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	for size := range 40 {
		if got := pieces(text, func() int { return size + 1 }); !slices.Equal(got, want) {
			t.Errorf("in pieces of %d bytes: %v", size+1, got)
		}
	}
	// A text ends where the next one begins.
	var s Scanner
	s.Write([]byte("#incl"))
	s.End()
	s.Write([]byte("ude <a.h>\n"))
	if got := s.End(); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

// A text says the same in pieces as in one, as long as no line is longer than what is kept.
func FuzzScanner(f *testing.F) {
	f.Add("#include <a.h>\n#include \"b.h\"", uint64(1))
	f.Add("include\n#include\n#include <\ninclude", uint64(2))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		for line := range strings.Lines(text) {
			if len(line) > maxLine {
				return
			}
		}
		want := Includes([]byte(text))
		r := rand.New(rand.NewPCG(seed, 0))
		if got := pieces(text, func() int { return 1 + r.IntN(10) }); !slices.Equal(got, want) {
			t.Errorf("%v, not %v", got, want)
		}
	})
}
