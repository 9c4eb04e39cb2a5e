// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kheadersfs/kheadersfs/index/table"
	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/index/xz"
)

// A DamageError says what of an archive can't be relied on.
type DamageError struct {
	Err    error    // what was found first
	Blocks []error  // damaged blocks
	Files  []string // paths of files with bytes in those blocks
	// Lost is the number of bytes that could not be decoded at all; files that begin
	// there have no known name.
	Lost int64
}

func (e *DamageError) Error() string { return e.Err.Error() }
func (e *DamageError) Unwrap() error { return e.Err }

// Verify decodes all of the archive of the given size that r holds and checks every
// check in it; an index that it carries is compared with the tar. The error is a
// *DamageError when the archive is damaged.
func Verify(r io.ReaderAt, size int64) error {
	f := &File{r: r, size: size}
	err := f.parse()
	if err == nil {
		err = f.verify()
	}
	if err == nil {
		return nil
	}
	e := &DamageError{Err: err}
	switch {
	case f.tree != nil:
		e.fromIndex(f.tree)
	case f.xz != nil:
		e.salvage(f.xz)
	case container(r, size) == containerXZ:
		if data, err := f.bytes(); err == nil {
			e.salvage(xz.Salvage(data))
		}
	}
	return e
}

// verify compares a File's index with its tar, if it carries one.
func (f *File) verify() error {
	content := sha256.New()
	row := io.Writer(content)
	if f.tree == nil || f.xz == nil {
		row = io.Discard // there is no hash to compare with
	}
	buf := make([]byte, 64<<10)
	file := func(_ *tar.Header, data io.Reader, off int64) (int64, error) {
		// The structs hide what else the two can do: so buf is used, and not a new
		// buffer for each file.
		_, err := io.CopyBuffer(struct{ io.Writer }{row}, struct{ io.Reader }{data}, buf)
		return off, err
	}
	var t *table.Table
	var err error
	if f.tree != nil && f.xz == nil {
		r := f.tree.row.Load()
		t, err = walkTar(io.NewSectionReader(r, 0, r.Size()), file)
	} else {
		t, err = f.walk(file)
	}
	switch {
	case err != nil:
		return err
	case f.tree == nil:
		return nil
	case !t.Equal(f.tree.Table):
		return errors.New("index and tar disagree about the entries")
	case f.xz != nil && f.tree.Hash != [32]byte(content.Sum(nil)):
		return errors.New("index and tar disagree about the data of files")
	}
	return nil
}

// fromIndex decodes each block of a tree whose index is whole, and finds the files of
// damaged blocks by that.
func (e *DamageError) fromIndex(t *Tree) {
	r := t.row.Load()
	var bad []tarball.Span
	for i, b := range r.Blocks() {
		if err := r.Check(i); err != nil {
			e.Blocks = append(e.Blocks, err)
			bad = append(bad, tarball.Span{Start: b.Start, End: b.Start + int64(b.Size)})
		}
	}
	for _, id := range t.byPlace(r) {
		off := r.table.Offset(id)
		if overlaps(&bad, tarball.Span{Start: off, End: off + t.Entry(id).Size}) {
			e.Files = append(e.Files, t.Path(id))
		}
	}
}

// overlaps reports whether a span has bytes in common with one of the bad ones. Spans
// come in order, and bad ones that lie before them are dropped.
func overlaps(bad *[]tarball.Span, s tarball.Span) bool {
	for len(*bad) > 0 && (*bad)[0].End <= s.Start {
		*bad = (*bad)[1:]
	}
	return len(*bad) > 0 && (*bad)[0].Start < s.End
}

// salvage reads a damaged archive a second time, and finds damaged blocks and the
// members in them.
func (e *DamageError) salvage(f *xz.File) {
	type member struct {
		name  string
		where tarball.Span
	}
	var members []member
	s := &salvager{f: f, e: e}
	tarball.Salvage(s, func(name string, where tarball.Span) bool {
		members = append(members, member{path.Clean(name), where})
		return len(members) < table.MaxEntries
	})
	for _, m := range members {
		if overlaps(&s.bad, m.where) {
			e.Files = append(e.Files, m.name)
		}
	}
}

// A salvager reads the bytes of all blocks, with zeros where one can't be decoded.
type salvager struct {
	f *xz.File
	e *DamageError

	next  int // block
	block io.Reader
	at    int64 // of the next byte, in what the archive decodes to
	bad   []tarball.Span
}

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
				s.bad = append(s.bad, tarball.Span{Start: b.Start, End: end})
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

// Lines says what is damaged line by line: blocks first, then files. A name with
// control characters is quoted.
func (e *DamageError) Lines() []string {
	var lines []string
	for _, b := range e.Blocks {
		lines = append(lines, b.Error())
	}
	for _, name := range e.Files {
		lines = append(lines, "damaged: "+printable(name))
	}
	if e.Lost > 0 {
		lines = append(lines, fmt.Sprintf("damaged: all else in %d bytes that can't be decoded", e.Lost))
	}
	return lines
}

func printable(name string) string {
	if utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return name
	}
	return strconv.Quote(name)
}
