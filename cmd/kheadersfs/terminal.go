// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// quote returns a name that can be printed as it is, and another one as a shell's
// $'…', with the bytes that cannot be printed in octal.
func quote(name string) string {
	var b strings.Builder
	plain := true
	for i, n := 0, 0; i < len(name); i += n {
		var r rune
		r, n = utf8.DecodeRuneInString(name[i:])
		switch {
		case !unicode.IsPrint(r) || r == utf8.RuneError && n == 1:
			plain = false
			for _, c := range []byte(name[i : i+n]) {
				fmt.Fprintf(&b, "\\%03o", c)
			}
		case r == '\\' || r == '\'':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	if plain {
		return name
	}
	return "$'" + b.String() + "'"
}
