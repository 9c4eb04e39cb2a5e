// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Salvage reads the layout of a damaged .xz file from its start, up to the damage.
// Decoding the last block of the File returns the error, unless the damage lies
// between blocks. Salvage never fails; with nothing readable the File has no
// blocks.
func Salvage(data []byte) *File {
	s := scanner{r: bufio.NewReader(bytes.NewReader(data))}
	s.f.data = data
	for s.stream() == nil && s.more() {
	}
	return &s.f
}

// Scan reads an .xz file from r and returns its size. Streams that follow each
// other are one file; other bytes may follow. Scan decodes nothing: the headers
// of LZMA2 chunks hold their sizes.
func Scan(r io.Reader) (size int64, err error) {
	s := scanner{r: bufio.NewReaderSize(r, 64<<10)}
	for {
		if err := s.stream(); err != nil {
			if size > 0 {
				return size, nil // other bytes that begin like a stream
			}
			return 0, fmt.Errorf("xz: %w", err)
		}
		size = s.at
		if !s.more() {
			return size, nil
		}
	}
}

type scanner struct {
	r  *bufio.Reader
	at int64 // bytes read from r
	f  File
}

// more skips stream padding, and reports whether a stream follows.
func (s *scanner) more() bool {
	for {
		b, _ := s.r.Peek(headerSize)
		if len(b) < 4 {
			return false
		}
		if !bytes.Equal(b[:4], []byte{0, 0, 0, 0}) {
			_, err := parseHeader(b)
			return err == nil
		}
		if s.skip(4) != nil {
			return false
		}
	}
}

// take reads the next n bytes.
func (s *scanner) take(n int) ([]byte, error) {
	b := make([]byte, n)
	m, err := io.ReadFull(s.r, b)
	s.at += int64(m)
	return b, cutShort(err)
}

func (s *scanner) skip(n int) error {
	m, err := s.r.Discard(n)
	s.at += int64(m)
	return cutShort(err)
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return formatErrorf("cut short")
	}
	return err
}

// stream reads one stream, with its footer. It adds blocks to s.f as soon as they
// begin: if the file is cut short, the last block extends beyond its end.
func (s *scanner) stream() error {
	b, err := s.take(headerSize)
	if err != nil {
		return err
	}
	check, err := parseHeader(b)
	if err != nil {
		return err
	}
	s.f.Streams = append(s.f.Streams, check)
	first := len(s.f.Blocks)
	for {
		b, err := s.r.Peek(1)
		if err != nil {
			return cutShort(err)
		}
		if b[0] == 0 {
			break
		}
		if err := s.block(check); err != nil {
			return err
		}
	}
	return s.index(check, s.f.Blocks[first:])
}

// block reads over one block, chunk by chunk.
func (s *scanner) block(check Check) error {
	b := Block{Stream: len(s.f.Streams) - 1, Offset: s.at}
	var walk error
	b.Length, walk = s.chunks()
	b.Size = s.at - b.Offset + check.size()
	if walk == nil {
		walk = s.skip(int(round4(b.Size) - (s.at - b.Offset)))
	} else {
		b.Size = 1 << 60
	}
	if err := s.f.add(b); err != nil {
		return err
	}
	return walk
}

// chunks reads a block header and the LZMA2 chunks behind it. length is how many
// bytes the chunks decode to.
func (s *scanner) chunks() (length int64, err error) {
	b, err := s.r.Peek(1)
	if err != nil {
		return 0, cutShort(err)
	}
	if b, err = s.take((int(b[0]) + 1) * 4); err != nil {
		return 0, err
	}
	if _, err := parseBlockHeader(b); err != nil {
		return 0, err
	}
	for {
		c, err := s.take(1)
		if err != nil || c[0] == 0 {
			return length, err
		}
		switch {
		case c[0] >= 0x80: // LZMA
			b, err := s.take(4)
			if err != nil {
				return length, err
			}
			length += int64(c[0]&0x1f)<<16 + int64(binary.BigEndian.Uint16(b)) + 1
			n := int(binary.BigEndian.Uint16(b[2:])) + 1
			if c[0] >= 0xc0 {
				n++ // the byte of lc, lp and pb
			}
			if err := s.skip(n); err != nil {
				return length, err
			}
		case c[0] <= 2: // not compressed
			b, err := s.take(2)
			if err != nil {
				return length, err
			}
			n := int(binary.BigEndian.Uint16(b)) + 1
			length += int64(n)
			if err := s.skip(n); err != nil {
				return length, err
			}
		default:
			return length, formatErrorf("LZMA2 chunk begins with %#02x", c[0])
		}
		if length > MaxUnpacked {
			return length, errTooLarge
		}
	}
}

// index reads the index and the footer of a stream, and compares the index with
// the blocks that were read.
func (s *scanner) index(check Check, blocks []Block) error {
	want := appendIndex(nil, blocks)
	got, err := s.take(len(want) + headerSize)
	if err != nil {
		return err
	}
	if !bytes.Equal(got[:len(want)], want) {
		return formatErrorf("index does not match the blocks")
	}
	footer, backward, err := parseFooter(got[len(want):])
	if err == nil && (footer != check || backward != int64(len(want))) {
		err = formatErrorf("header and footer disagree")
	}
	return err
}

// appendIndex appends the index of the given blocks, section 4.
func appendIndex(to []byte, blocks []Block) []byte {
	at := len(to)
	to = binary.AppendUvarint(append(to, 0), uint64(len(blocks)))
	for _, b := range blocks {
		to = binary.AppendUvarint(to, uint64(b.Size))
		to = binary.AppendUvarint(to, uint64(b.Length))
	}
	for (len(to)-at)%4 != 0 {
		to = append(to, 0)
	}
	return binary.LittleEndian.AppendUint32(to, crc32.ChecksumIEEE(to[at:]))
}
