// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// A DamageError tells what of an archive can't be relied on.
type DamageError struct {
	Err    error    // what was found first
	Blocks []error  // damaged blocks
	Files  []string // members with bytes in those blocks
	// Lost is the number of bytes that could not be decoded at all; members
	// that begin there have no known name.
	Lost int64
}

func (e *DamageError) Error() string { return e.Err.Error() }
func (e *DamageError) Unwrap() error { return e.Err }

// Verify decodes an archive and looks at every check in it, and compares the
// index that it carries, if any, with the tar. The error is a *DamageError when
// it is damaged.
func Verify(archive []byte) error {
	if isSeekable(archive) {
		return verifySeekable(archive)
	}
	err := verify(archive)
	if err == nil {
		return nil
	}
	e := &DamageError{Err: err}
	f, parseErr := xz.Parse(archive)
	if parseErr != nil {
		f = xz.Salvage(archive)
	}
	s := &salvager{f: f, e: e}
	s.run()
	return e
}

func verify(archive []byte) error {
	f, err := xz.Parse(archive)
	if err != nil {
		return err
	}
	packed, err := openPacked(f)
	if err != nil {
		return err
	}
	if packed == nil {
		_, err := decodeAll(f, newWriteSink(io.Discard))
		return err
	}
	content := sha256.New()
	t, err := decodeAll(f, newWriteSink(content))
	switch {
	case err != nil:
		return err
	case !bytes.Equal(packed.table, t.table) || packed.strings != t.strings:
		return errors.New("the index tells of other entries than the tar")
	case packed.Hash != [32]byte(content.Sum(nil)):
		return errors.New("the index tells of other data than the tar holds")
	}
	return nil
}

// verifySeekable is Verify for a cache file, whose index must tell what its tar
// does, but for the hash, which is of another file.
func verifySeekable(archive []byte) error {
	t, err := OpenSeekable(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return &DamageError{Err: err}
	}
	d := t.data.Load()
	b := newBuilder()
	if err := readTar(io.NewSectionReader(d, 0, d.size()), b, newWriteSink(io.Discard)); err != nil {
		return &DamageError{Err: err}
	}
	if got := b.finish(); !bytes.Equal(got.table, t.table) || got.strings != t.strings {
		return &DamageError{Err: errors.New("the index tells of other entries than the tar")}
	}
	return nil
}

// A salvager walks over a damaged archive a second time, notes which blocks
// are bad, and which members lie in them.
type salvager struct {
	f *xz.File
	e *DamageError

	next  int // block
	block io.Reader
	at    int64 // of the next byte, in what the archive decodes to
	bad   []span

	names []string
	where []span // of the members
}

type span struct{ start, end int64 }

func (s *salvager) run() {
	s.walk()
	i := 0
	for m, where := range s.where { // both in the order of the archive
		for i < len(s.bad) && s.bad[i].end <= where.start {
			i++
		}
		if i < len(s.bad) && s.bad[i].start < where.end {
			s.e.Files = append(s.e.Files, s.names[m])
		}
	}
}

// walk notes the members of the tar. Whatever ends one pass over it, the next
// one begins at the next header behind it.
func (s *salvager) walk() {
	var header [tarBlock]byte
	for {
		if _, err := io.ReadFull(s, header[:]); err != nil {
			return
		}
		if !isTarHeader(header[:]) {
			continue
		}
		start := s.at - tarBlock // of a member and the extended headers in front of it
		members := tar.NewReader(io.MultiReader(bytes.NewReader(header[:]), s))
		for {
			h, err := members.Next()
			if err != nil {
				break
			}
			end := s.at
			if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeCont {
				end += h.Size
			}
			if h.Typeflag != tar.TypeXGlobalHeader {
				s.names = append(s.names, h.Name)
				s.where = append(s.where, span{start, end})
			}
			if len(s.names) == maxEntries {
				return
			}
			start = roundUp(end)
		}
		if _, err := io.CopyN(io.Discard, s, roundUp(s.at)-s.at); err != nil {
			return
		}
	}
}

func roundUp(n int64) int64 { return (n + tarBlock - 1) &^ (tarBlock - 1) }

// Read returns the bytes of all blocks, with zeros where one can't be decoded.
func (s *salvager) Read(p []byte) (int, error) {
	for {
		if s.block == nil {
			if s.next == len(s.f.Blocks) {
				return 0, io.EOF
			}
			s.block = s.f.BlockReader(s.next)
			s.next++
		}
		b := s.f.Blocks[s.next-1]
		end := b.Start + b.Length
		n, err := s.block.Read(p)
		s.at += int64(n)
		if err != nil {
			s.block = nil
			if !errors.Is(err, io.EOF) {
				s.e.Blocks = append(s.e.Blocks, err)
				s.bad = append(s.bad, span{b.Start, end})
				s.e.Lost += end - s.at
				s.block = io.LimitReader(zeros{}, end-s.at)
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// isTarHeader tells whether the checksum of a tar header is right: the sum of
// its bytes, those of the checksum being spaces (POSIX.1-1988 ustar).
func isTarHeader(b []byte) bool {
	want, err := strconv.ParseUint(string(bytes.Trim(b[148:156], " \x00")), 8, 32)
	if err != nil {
		return false
	}
	sum := uint64(8 * ' ')
	for i, c := range b {
		if i < 148 || i >= 156 {
			sum += uint64(c)
		}
	}
	return sum == want
}

// Lines tells of the damage line by line: blocks first, then members.
func (e *DamageError) Lines() []string {
	var lines []string
	for _, b := range e.Blocks {
		lines = append(lines, b.Error())
	}
	for _, name := range e.Files {
		lines = append(lines, "hit: "+name)
	}
	if e.Lost > 0 {
		lines = append(lines, fmt.Sprintf("hit: whatever else lies in %d bytes that can't be decoded", e.Lost))
	}
	return lines
}
