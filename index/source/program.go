// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"cmp"
	"debug/elf"
	"io"
	"path"
	"strconv"
	"strings"
	"unicode"
)

// A Program says what a machine needs to run a program.
type Program struct {
	Machine     string `json:"machine"`     // its processor, as x86_64
	Interpreter string `json:"interpreter"` // the dynamic linker; empty if the program needs none
	Glibc       string `json:"glibc"`       // the newest version of a symbol of the GNU C library, as 2.34; empty if it has none
}

// String returns what is needed in one line, as "x86_64, /lib64/ld-linux-x86-64.so.2, glibc 2.34".
func (p *Program) String() string {
	s := p.Machine
	if p.Interpreter != "" {
		s += ", " + p.Interpreter
	}
	if p.Glibc != "" {
		s += ", glibc " + p.Glibc
	}
	return s
}

// ParseProgram reads what a program needs from its bytes. ok is false if they are not an ELF
// file that can be run.
func ParseProgram(b []byte) (p Program, ok bool) {
	if !bytes.HasPrefix(b, []byte(elf.ELFMAG)) || compressedNames(bytes.NewReader(b)) {
		return p, false
	}
	defer func() {
		if recover() != nil { // as in symbols
			p, ok = Program{}, false
		}
	}()
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return p, false
	}
	p.Machine = strings.ToLower(strings.TrimPrefix(f.Machine.String(), "EM_"))
	for _, segment := range f.Progs {
		if segment.Type != elf.PT_INTERP || segment.Filesz > maxInterpreter {
			continue
		}
		name, err := io.ReadAll(segment.Open())
		if err != nil {
			return Program{}, false
		}
		p.Interpreter = string(bytes.TrimRight(name, "\x00"))
		if !path.IsAbs(p.Interpreter) || strings.ContainsFunc(p.Interpreter, unicode.IsControl) {
			return Program{}, false
		}
	}
	p.Glibc = newestGlibc(b)
	return p, true
}

const maxInterpreter = 4096 // PATH_MAX

// glibcSymbol begins the name of a version, with the end of the string before.
const glibcSymbol = "\x00GLIBC_"

// newestGlibc finds the names of versions wherever they lie.
func newestGlibc(b []byte) string {
	var newest string
	for {
		i := bytes.Index(b, []byte(glibcSymbol))
		if i < 0 {
			return newest
		}
		b = b[i+len(glibcSymbol):]
		name, _, _ := bytes.Cut(b[:min(len(b), 32)], []byte{0})
		if v := string(name); isVersion(v) && CompareVersions(v, newest) > 0 {
			newest = v
		}
	}
}

// HasGlibc reports whether the bytes of a C library are those of the GNU C library, of the
// given version or a newer one.
func HasGlibc(libc []byte, version string) bool {
	return version == "" || bytes.Contains(libc, []byte(glibcSymbol+version+"\x00"))
}

func isVersion(s string) bool {
	return strings.Trim(s, ".0123456789") == "" && s != ""
}

// CompareVersions compares versions made of numbers and dots.
func CompareVersions(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		if c := cmp.Compare(m, n); c != 0 {
			return c
		}
	}
	return 0
}
