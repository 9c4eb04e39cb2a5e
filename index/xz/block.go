// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/kheadersfs/kheadersfs/index/xz/lzma2"
)

// filterLZMA2 is the one filter that is supported (section 5.3.1).
const filterLZMA2 = 0x21

// A blockHeader is what stands in front of a block's compressed data, section
// 3.1.
type blockHeader struct {
	size       int   // in bytes
	compressed int64 // size of the compressed data, -1: not told
	length     int64 // bytes it decodes to, -1: not told
	dict       int64 // dictionary size that is declared, in bytes
}

// parseBlockHeader reads the header that b begins with.
func parseBlockHeader(b []byte) (h blockHeader, err error) {
	if len(b) > 0 && b[0] == 0 {
		return h, formatErrorf("an index where a block is due")
	}
	if len(b) == 0 || len(b) < (int(b[0])+1)*4 {
		return h, formatErrorf("the block header is cut short")
	}
	h.size = (int(b[0]) + 1) * 4
	body, sum := b[1:h.size-4], b[h.size-4:]
	if crc32.ChecksumIEEE(b[:h.size-4]) != binary.LittleEndian.Uint32(sum) {
		return h, formatErrorf("the block header's checksum does not match")
	}
	bad := formatErrorf("the block header is not well formed")
	if len(body) == 0 {
		return h, bad
	}
	flags := body[0]
	body = body[1:]
	if flags&0x3c != 0 {
		return h, fmt.Errorf("block flags %#02x are not supported", flags)
	}
	ok := true
	h.compressed, h.length = -1, -1
	if flags&0x40 != 0 {
		if h.compressed, body, ok = vli(body); !ok || h.compressed == 0 {
			return h, bad
		}
	}
	if flags&0x80 != 0 {
		if h.length, body, ok = vli(body); !ok {
			return h, bad
		}
	}
	for range flags&3 + 1 {
		var id, n int64
		if id, body, ok = vli(body); !ok {
			return h, bad
		}
		if n, body, ok = vli(body); !ok || n > int64(len(body)) {
			return h, bad
		}
		if id != filterLZMA2 {
			return h, fmt.Errorf("the filter %s is not supported, only LZMA2 by itself is", filterName(id))
		}
		if n != 1 || body[0] > 40 {
			return h, bad
		}
		h.dict = dictSize(body[0])
		body = body[n:]
	}
	if flags&3 != 0 || bytes.Count(body, []byte{0}) != len(body) {
		return h, bad
	}
	return h, nil
}

// dictSize decodes a dictionary size, section 5.3.1.
func dictSize(b byte) int64 {
	if b == 40 {
		return 1<<32 - 1
	}
	return int64(2|b&1) << (b/2 + 11)
}

func filterName(id int64) string {
	names := map[int64]string{
		0x03: "delta", 0x04: "x86", 0x05: "PowerPC", 0x06: "IA-64", 0x07: "ARM",
		0x08: "ARM-Thumb", 0x09: "SPARC", 0x0a: "ARM64", 0x0b: "RISC-V",
	}
	if name := names[id]; name != "" {
		return fmt.Sprintf("%#02x (%s)", id, name)
	}
	return fmt.Sprintf("%#02x", id)
}

// BlockReader decodes block i (the first one is 0). io.EOF comes only once
// the block's size and check have been found right; all other errors are
// *BlockError. Bytes that were returned before such an error may be wrong.
func (f *File) BlockReader(i int) io.Reader {
	r, err := f.newBlockReader(i)
	if err != nil {
		return &errReader{f.blockError(i, err)}
	}
	return r
}

func (f *File) blockError(i int, err error) error {
	return &BlockError{Block: i, Blocks: len(f.Blocks), Err: err}
}

type errReader struct{ err error }

func (r *errReader) Read([]byte) (int, error) { return 0, r.err }

type blockReader struct {
	f     *File
	i     int
	cut   bool // the file ends within the block
	lzma2 *lzma2.Reader
	left  int64  // bytes not decoded yet
	rest  []byte // decoded, but not read yet
	sum   []byte // the check as stored; a CRC turned around
	err   error

	// The check takes a tenth of the time that decoding takes. It is made beside
	// decoding the next bytes, by goroutines that end by themselves.
	hash    hash.Hash
	hashing sync.WaitGroup
}

func (f *File) newBlockReader(i int) (*blockReader, error) {
	b := f.Blocks[i]
	raw := f.data[min(b.Offset, int64(len(f.data))):]
	cut := int64(len(raw)) < round4(b.Size) // known only to Salvage; what is there is decoded
	if !cut {
		raw = raw[:round4(b.Size)]
	}
	h, err := parseBlockHeader(raw)
	if err != nil {
		return nil, err
	}
	check := f.Streams[b.Stream]
	payload := b.Size - int64(h.size) - check.size()
	if cut {
		payload = int64(len(raw)) - int64(h.size)
	}
	switch {
	case cut:
	case payload <= 0, h.compressed >= 0 && h.compressed != payload:
		return nil, formatErrorf("header and index disagree about the compressed size")
	case h.length >= 0 && h.length != b.Length:
		return nil, formatErrorf("header and index disagree about the size")
	}
	if padding := raw[min(b.Size-check.size(), int64(len(raw))):]; !cut {
		padding = padding[:int64(len(padding))-check.size()]
		if bytes.Count(padding, []byte{0}) != len(padding) {
			return nil, formatErrorf("the block's padding is not zero")
		}
	}
	dict := min(h.dict, b.Length, payload*maxRatio)
	if dict > MaxDict {
		return nil, fmt.Errorf("a dictionary of %d bytes is more than the limit of %d", dict, int64(MaxDict))
	}
	r := &blockReader{f: f, i: i, cut: cut, left: b.Length}
	r.lzma2 = lzma2.NewReader(raw[h.size:][:payload], int(dict))
	var crc bool
	r.hash, crc = check.newHash()
	r.sum = bytes.Clone(raw[max(0, int64(len(raw))-check.size()):])
	if crc {
		slices.Reverse(r.sum)
	}
	return r, nil
}

func (r *blockReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 && len(p) > 0 {
		if r.err == nil {
			r.rest, r.err = r.next()
		}
		if len(r.rest) == 0 {
			return 0, r.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next decodes some more bytes. They may come together with an error, of
// which they are innocent.
func (r *blockReader) next() ([]byte, error) {
	p, err := r.lzma2.Next()
	r.hashing.Wait()
	switch {
	case err == io.EOF:
		if err = r.finish(); err == nil {
			return nil, io.EOF
		}
	case err != nil:
		err = lzmaError(err)
	case int64(len(p)) > r.left:
		p = p[:r.left]
		err = formatErrorf("decodes to more bytes than its index tells")
	}
	if err != nil {
		return p, r.f.blockError(r.i, err)
	}
	r.left -= int64(len(p))
	if r.hash != nil {
		r.hashing.Go(func() { r.hash.Write(p) })
	}
	return p, nil
}

func lzmaError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return formatErrorf("the compressed data is cut short")
	}
	return formatErrorf("%v", err)
}

// finish checks the whole block.
func (r *blockReader) finish() error {
	if r.left > 0 {
		return formatErrorf("decodes to %d bytes less than its index tells", r.left)
	}
	if r.cut {
		return formatErrorf("its check is cut short")
	}
	if n := r.lzma2.Unused(); n > 0 {
		return formatErrorf("%d bytes of compressed data are left over", n)
	}
	if r.hash != nil && !bytes.Equal(r.hash.Sum(nil), r.sum) {
		return formatErrorf("the %v check does not match", r.f.Streams[r.f.Blocks[r.i].Stream])
	}
	return nil
}

// Head decodes the first bytes of block i into p without its check being looked
// at, and returns how many there were. It takes some tens of kilobytes, and
// serves to tell what is packed here.
func (f *File) Head(i int, p []byte) int {
	raw := f.data[f.Blocks[i].Offset:]
	h, err := parseBlockHeader(raw)
	if err != nil {
		return 0
	}
	r := lzma2.NewReader(raw[h.size:], max(len(p), 4<<10))
	n, _ := io.ReadFull(r, p)
	return n
}

// FileHead is Head of the first block that isn't empty.
func (f *File) FileHead(p []byte) int {
	for i, b := range f.Blocks {
		if b.Length > 0 {
			return f.Head(i, p)
		}
	}
	return 0
}
