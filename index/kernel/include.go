// SPDX-License-Identifier: Apache-2.0

package kernel

import "bytes"

// An Include is an #include line.
type Include struct {
	Name   string // of the header
	Quoted bool   // in quotes, and not in angle brackets
}

// Includes returns the #include lines in a text. They count wherever they stand,
// whatever condition they are under.
func Includes(text []byte) []Include {
	var s Scanner
	s.Write(text)
	return s.End()
}

// A Scanner finds the #include lines of texts that are written to it piece by piece, one
// after the other.
type Scanner struct {
	line  []byte // the beginning of a line whose end has not been written
	found []Include
}

// maxLine is the longest line, in bytes, that is looked at where it is written in pieces.
const maxLine = 8 << 10

// Write takes the next piece of a text. There is no error.
func (s *Scanner) Write(p []byte) (n int, err error) {
	n = len(p)
	if len(s.line) > 0 {
		rest := bytes.IndexByte(p, '\n') + 1
		if rest == 0 {
			s.begin(p)
			return n, nil
		}
		s.begin(p[:rest])
		s.scan(s.line)
		s.line = s.line[:0]
		p = p[rest:]
	}
	whole := bytes.LastIndexByte(p, '\n') + 1
	s.scan(p[:whole])
	s.begin(p[whole:])
	return n, nil
}

// begin keeps the beginning of a line, as far as it can be an #include.
func (s *Scanner) begin(p []byte) {
	s.line = append(s.line, p[:min(len(p), maxLine-len(s.line))]...)
}

// scan takes whole lines.
func (s *Scanner) scan(text []byte) {
	word := []byte("include")
	for {
		i := bytes.Index(text, word)
		if i < 0 {
			return
		}
		start := bytes.LastIndexByte(text[:i], '\n') + 1
		end := len(text)
		if n := bytes.IndexByte(text[i:], '\n'); n >= 0 {
			end = i + n
		}
		if name, quoted := include(text[start:end]); name != "" {
			s.found = append(s.found, Include{name, quoted})
		}
		text = text[end:]
	}
}

// End ends a text, and returns its #include lines.
func (s *Scanner) End() []Include {
	s.scan(s.line)
	found := s.found
	s.line, s.found = s.line[:0], nil
	return found
}

// include returns the name in an #include line.
func include(line []byte) (name string, quoted bool) {
	line, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("#"))
	if !ok {
		return "", false
	}
	line, ok = bytes.CutPrefix(bytes.TrimSpace(line), []byte("include"))
	line = bytes.TrimSpace(line)
	if !ok || len(line) < 3 {
		return "", false
	}
	end := byte('>')
	switch line[0] {
	case '<':
	case '"':
		end, quoted = '"', true
	default:
		return "", false
	}
	n := bytes.IndexByte(line[1:], end)
	if n < 0 {
		return "", false
	}
	return string(line[1:][:n]), quoted
}
