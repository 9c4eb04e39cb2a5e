// SPDX-License-Identifier: Apache-2.0

// Package xz reads the streams, blocks and checks of .xz files, by the .xz
// file format 1.2.1 (https://tukaani.org/xz/xz-file-format.txt).
//
// The usual xz reader returns one long stream of bytes. This package returns
// the blocks, and decodes each of them by itself. Parse reads the indexes
// from the end of a file and decodes nothing; it takes a few microseconds a
// block. Scan and Salvage read a file from its start, chunk header by chunk
// header, and decode nothing either: Scan finds the end of a file that lies
// within another one, and Salvage finds the blocks of a damaged file.
//
// Package lzma2 decodes the compressed data.
package xz

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// Limits. A file that exceeds one is refused before memory is allocated for it.
const (
	// MaxUnpacked is the most bytes that all blocks of a file may decode to. The
	// headers of a kernel take 30 to 80 MB.
	MaxUnpacked = 1 << 30
	// MaxBlocks is the most blocks and the most streams that a file may hold.
	MaxBlocks = 1 << 18
	// MaxDict is the largest dictionary that is allocated. A block needs no more
	// than its header declares, and no more than it decodes to, since no distance
	// reaches back beyond the start of the block. xz -9 declares 64 MiB.
	MaxDict = 256 << 20
	// maxRatio is above the highest ratio of LZMA2, 7,090: a match of 273 bytes
	// takes at least 14 binary decisions, and each of them at least
	// log2(2048/2017) bits.
	maxRatio = 8192
)

var errTooLarge = fmt.Errorf("unpacked size exceeds %d GiB", MaxUnpacked>>30)

// ErrFormat means that the bytes are damaged, or not .xz at all. errors.Is finds
// it in every such error, and in none that says that a file is unsupported or too
// large.
var ErrFormat = errors.New("damaged, or not .xz")

type formatError string

func (e formatError) Error() string        { return string(e) }
func (e formatError) Is(target error) bool { return target == ErrFormat }

func formatErrorf(format string, args ...any) error {
	return formatError(fmt.Sprintf(format, args...))
}

// Magic is how every stream begins (section 2.1.1.1).
const Magic = "\xfd7zXZ\x00"

const (
	headerSize  = 12 // of a stream's header, and of its footer
	footerMagic = "YZ"
)

// Check is the kind of a stream's check (section 2.1.1.2).
type Check byte

// The known checks. All others are reserved, and refused.
const (
	CheckNone   Check = 0
	CheckCRC32  Check = 1
	CheckCRC64  Check = 4
	CheckSHA256 Check = 10
)

func (c Check) String() string {
	switch c {
	case CheckNone:
		return "none"
	case CheckCRC32:
		return "CRC32"
	case CheckCRC64:
		return "CRC64"
	case CheckSHA256:
		return "SHA-256"
	}
	return fmt.Sprintf("unknown check %d", byte(c))
}

// size returns how many bytes the check takes at the end of a block.
func (c Check) size() int64 {
	switch c {
	case CheckCRC32:
		return 4
	case CheckCRC64:
		return 8
	case CheckSHA256:
		return 32
	}
	return 0
}

var crc64Table = crc64.MakeTable(crc64.ECMA)

// newHash returns a hash that computes the check, and nil for CheckNone.
func (c Check) newHash() hash.Hash {
	switch c {
	case CheckCRC32:
		return crc32.NewIEEE()
	case CheckCRC64:
		return crc64.New(crc64Table)
	case CheckSHA256:
		return sha256.New()
	}
	return nil
}

// A File is the layout of an .xz file: its streams and blocks in the order of
// their bytes. It never changes; concurrent use is safe.
type File struct {
	data    []byte
	Streams []Check // the kind of check of each stream
	Blocks  []Block
}

// A Block is one independently decodable part of a stream.
type Block struct {
	Stream int   // index in File.Streams
	Offset int64 // of the block header, in the file
	Size   int64 // header, compressed data and check, without padding
	Start  int64 // of the decoded block, in the decoded file
	Length int64 // of the decoded block
}

// Unpacked returns how many bytes the whole file decodes to.
func (f *File) Unpacked() int64 {
	if len(f.Blocks) == 0 {
		return 0
	}
	last := f.Blocks[len(f.Blocks)-1]
	return last.Start + last.Length
}

// add appends a block, whose Start it sets. It returns an error if the File would
// exceed a limit.
func (f *File) add(b Block) error {
	if len(f.Blocks) >= MaxBlocks {
		return fmt.Errorf("more than %d blocks", MaxBlocks)
	}
	b.Start = f.Unpacked()
	if b.Length < 0 || b.Length > MaxUnpacked-b.Start {
		return errTooLarge
	}
	f.Blocks = append(f.Blocks, b)
	return nil
}

// A BlockError says which block can't be decoded, and why.
type BlockError struct {
	Block, Blocks int // the first block is 0
	Err           error
}

func (e *BlockError) Error() string {
	return fmt.Sprintf("xz block %d of %d: %v", e.Block+1, e.Blocks, e.Err)
}

func (e *BlockError) Unwrap() error { return e.Err }

// Reader returns a reader that decodes all blocks, one after the other. It returns
// io.EOF after the last block if every check matches; any other error is a
// *BlockError.
func (f *File) Reader() io.Reader {
	return &reader{f: f}
}

type reader struct {
	f     *File
	next  int
	block io.Reader
	err   error
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // or the loop below would not end: blocks return 0, nil too
	}
	for r.err == nil {
		if r.block == nil {
			if r.next == len(r.f.Blocks) {
				r.err = io.EOF
				break
			}
			r.block = r.f.BlockReader(r.next)
			r.next++
		}
		n, err := r.block.Read(p)
		switch {
		case err == io.EOF:
			r.block = nil
		case err != nil:
			r.err = err
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}
