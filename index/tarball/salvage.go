// SPDX-License-Identifier: Apache-2.0

package tarball

import (
	"archive/tar"
	"bytes"
	"io"
)

// A Span is a range of a tar's bytes.
type Span struct{ Start, End int64 }

// Salvage calls f with the name of each member that can be made out in a damaged
// tar, and where it lies: with the extended headers before it, and without padding.
// After something that is no header it goes on at the next header. It ends when f
// returns false.
func Salvage(r io.Reader, f func(name string, where Span) bool) {
	s := &position{r: r}
	var header [Block]byte
	for {
		if _, err := io.ReadFull(s, header[:]); err != nil {
			return
		}
		if !IsHeader(header[:]) {
			continue
		}
		start := s.at - Block
		members := tar.NewReader(io.MultiReader(bytes.NewReader(header[:]), s))
		for {
			h, err := members.Next()
			if err != nil {
				break
			}
			end := s.at
			if IsFile(h) {
				end += h.Size
			}
			if h.Typeflag != tar.TypeXGlobalHeader && !f(h.Name, Span{start, end}) {
				return
			}
			start = roundUp(end)
		}
		if _, err := io.CopyN(io.Discard, s, roundUp(s.at)-s.at); err != nil {
			return
		}
	}
}

// A position counts the bytes that it returns.
type position struct {
	r  io.Reader
	at int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.at += int64(n)
	return n, err
}
