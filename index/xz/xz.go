// SPDX-License-Identifier: Apache-2.0

// Package xz takes .xz files apart: streams, blocks and checks, after the .xz
// file format 1.2.1 (https://tukaani.org/xz/xz-file-format.txt).
//
// Where the usual xz reader shows one long stream of bytes, this one shows
// the blocks, each of which can be decoded by itself. Parse reads the indexes
// from the end of a file and decodes nothing; its cost is a few microseconds
// a block. Scan walks a file from its start, chunk header by chunk header, also
// without decoding: it finds the end of a file that lies within another one,
// and tells where a damaged file breaks off.
//
// The bytes of LZMA2 are decoded by package lzma2, below this one.
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

// Limits. What goes beyond them is refused before memory is taken for it.
const (
	// MaxUnpacked is the most bytes that all blocks of a file may decode to. A
	// kernel's headers are 30 to 80 MB.
	MaxUnpacked = 1 << 30
	// MaxBlocks is the most blocks and the most streams that a file may hold.
	MaxBlocks = 1 << 18
	// MaxDict is the largest dictionary that is allocated: the smaller one of
	// what a block header declares and what the block decodes to counts, since
	// no distance reaches behind the block's start. xz -9 asks for 64 MiB.
	MaxDict = 256 << 20
	// maxRatio is more bytes than LZMA2 can make of one: a match of 273 takes 14
	// bits at least, and each of these log2(2048/2017) when it is the likelier
	// one. That gives 7,090.
	maxRatio = 8192
)

// ErrFormat is what every error is, by errors.Is, that is about bytes that are
// damaged or not .xz at all, and not about what is unsupported or too large.
var ErrFormat = errors.New("damaged, or not .xz")

type formatError string

func (e formatError) Error() string        { return string(e) }
func (e formatError) Is(target error) bool { return target == ErrFormat }

func formatErrorf(format string, args ...any) error {
	return formatError(fmt.Sprintf(format, args...))
}

// Magic begins every stream (section 2.1.1.1).
const Magic = "\xfd7zXZ\x00"

const (
	headerSize  = 12 // of a stream's header, and of its footer
	footerMagic = "YZ"
)

// Check is the kind of a stream's check (section 2.1.1.2).
type Check byte

// The checks that are known. Others are reserved, and refused.
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

// size is the number of bytes that the check takes behind its block.
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

// newHash returns nil for CheckNone.
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
// their bytes. It is not changed once made; concurrent use is safe.
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
	Start  int64 // of the block's bytes in what the whole file decodes to
	Length int64 // of those bytes
}

// Unpacked is the number of bytes that the whole file decodes to.
func (f *File) Unpacked() int64 {
	if len(f.Blocks) == 0 {
		return 0
	}
	last := f.Blocks[len(f.Blocks)-1]
	return last.Start + last.Length
}

// add appends a block behind the last one, within the limits.
func (f *File) add(b Block) error {
	if len(f.Blocks) >= MaxBlocks {
		return fmt.Errorf("more than %d blocks", MaxBlocks)
	}
	b.Start = f.Unpacked()
	if b.Length < 0 || b.Length > MaxUnpacked-b.Start {
		return fmt.Errorf("decodes to more than %d bytes", int64(MaxUnpacked))
	}
	f.Blocks = append(f.Blocks, b)
	return nil
}

// A BlockError tells which block is damaged.
type BlockError struct {
	Block, Blocks int // the first block is 0
	Err           error
}

func (e *BlockError) Error() string {
	return fmt.Sprintf("xz block %d of %d: %v", e.Block+1, e.Blocks, e.Err)
}

func (e *BlockError) Unwrap() error { return e.Err }

// Reader decodes all blocks, one after the other. An error is io.EOF only
// behind the last block with every check passed; others are *BlockError.
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
		return 0, nil // a block, too, would return nothing for it, for ever
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
