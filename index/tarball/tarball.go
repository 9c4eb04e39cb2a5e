// SPDX-License-Identifier: Apache-2.0

// Package tarball reads and writes tars as archives of headers need it: Walk takes a
// tar whole or not at all, Salvage what is left of a damaged one, and a Writer cuts
// what it writes into blocks between members.
package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Block is the size of a tar's own blocks.
const Block = 512

// IsHeader reports whether b begins with a tar header whose checksum is right: the
// sum of its bytes, those of the checksum counting as spaces (POSIX.1-1988, ustar).
func IsHeader(b []byte) bool {
	if len(b) < Block {
		return false
	}
	want, err := strconv.ParseUint(string(bytes.Trim(b[148:156], " \x00")), 8, 32)
	if err != nil {
		return false
	}
	sum := uint64(8 * ' ')
	for i, c := range b[:Block] {
		if i < 148 || i >= 156 {
			sum += uint64(c)
		}
	}
	return sum == want
}

// IsFile reports whether a member is a regular file.
func IsFile(h *tar.Header) bool { return h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeCont }

// Walk calls f with each member of a tar in order, but for global extended headers.
// data is the member's data, which begins at off in the tar. Walk reads all of r.
//
// Unlike archive/tar it takes a tar without an end-of-archive marker for one that is
// cut short: the beginning of an archive must not pass for the whole of it.
func Walk(r io.Reader, f func(h *tar.Header, data io.Reader, off int64) error) error {
	marker := &endMarker{r: r}
	members := tar.NewReader(marker)
	for {
		marker.zeros, marker.counting = 0, true
		h, err := members.Next()
		marker.counting = false
		if err == io.EOF {
			if marker.zeros < 2*Block {
				return errors.New("tar: end-of-archive marker is missing: cut short")
			}
			break
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := f(h, members, marker.at); err != nil {
			return fmt.Errorf("tar: %q: %w", h.Name, err)
		}
	}
	// Padding of the last record follows. The checks of the last block are only
	// checked when all of it has been read.
	_, err := io.Copy(io.Discard, r)
	return err
}

// An endMarker counts the zero bytes that it has returned last, while counting is
// set. archive/tar reads nothing ahead: when Next reports the end, the last bytes
// read are those that it took for the end.
type endMarker struct {
	r        io.Reader
	at       int64 // bytes returned
	counting bool
	zeros    int
}

func (m *endMarker) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.at += int64(n)
	if !m.counting {
		return n, err
	}
	for _, c := range p[:n] {
		m.zeros++
		if c != 0 {
			m.zeros = 0
		}
	}
	return n, err
}

// roundUp returns n rounded up to whole blocks.
func roundUp(n int64) int64 { return (n + Block - 1) &^ (Block - 1) }
