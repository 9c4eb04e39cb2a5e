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

// filterLZMA2 is the only supported filter (section 5.3.1).
const filterLZMA2 = 0x21

// A blockHeader is the header in front of the compressed data of a block, section
// 3.1.
type blockHeader struct {
	size       int   // of the header, in bytes
	compressed int64 // size of the compressed data; -1 if not given
	length     int64 // bytes that the block decodes to; -1 if not given
	dict       int64 // declared size of the dictionary, in bytes
}

// parseBlockHeader reads the block header at the beginning of b.
func parseBlockHeader(b []byte) (h blockHeader, err error) {
	if len(b) > 0 && b[0] == 0 {
		return h, formatErrorf("index instead of a block")
	}
	if len(b) == 0 || len(b) < (int(b[0])+1)*4 {
		return h, formatErrorf("block header is cut short")
	}
	h.size = (int(b[0]) + 1) * 4
	body, sum := b[1:h.size-4], b[h.size-4:]
	if crc32.ChecksumIEEE(b[:h.size-4]) != binary.LittleEndian.Uint32(sum) {
		return h, formatErrorf("checksum of the block header does not match")
	}
	bad := formatErrorf("block header is not well formed")
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
			return h, fmt.Errorf("filter %s is not supported, only LZMA2 alone is", filterName(id))
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

// A rawBlock is a block that has not been decoded.
type rawBlock struct {
	data []byte // LZMA2
	dict int    // size of the dictionary that is needed, in bytes
	kind Check
	sum  []byte // the stored check; a CRC with its bytes reversed
	cut  bool   // the file ends within the block; only after Salvage
}

// raw returns block i. It checks everything but the compressed data.
func (f *File) raw(i int) (*rawBlock, error) {
	b := f.Blocks[i]
	raw := f.data[min(b.Offset, int64(len(f.data))):]
	cut := int64(len(raw)) < round4(b.Size)
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
			return nil, formatErrorf("padding of the block is not zero")
		}
	}
	dict := min(h.dict, b.Length, payload*maxRatio)
	if dict > MaxDict {
		return nil, fmt.Errorf("dictionary of %d bytes exceeds %d MiB", dict, MaxDict>>20)
	}
	sum := bytes.Clone(raw[max(0, int64(len(raw))-check.size()):])
	if check == CheckCRC32 || check == CheckCRC64 {
		slices.Reverse(sum)
	}
	return &rawBlock{data: raw[h.size:][:payload], dict: int(dict), kind: check, sum: sum, cut: cut}, nil
}

// compare returns an error if the check is not the sum of the decoded bytes in h.
func (b *rawBlock) compare(h hash.Hash) error {
	if h != nil && !bytes.Equal(h.Sum(nil), b.sum) {
		return formatErrorf("%v check does not match", b.kind)
	}
	return nil
}

var decoders = sync.Pool{New: func() any { return new(lzma2.Decoder) }}

// Decode decodes block i into dst, which must have the length of the block. An
// error is a *BlockError; after one, the bytes of dst may be wrong. Decode
// allocates next to nothing.
func (f *File) Decode(i int, dst []byte) error {
	if err := f.decode(i, dst); err != nil {
		return f.blockError(i, err)
	}
	return nil
}

func (f *File) decode(i int, dst []byte) error {
	raw, err := f.raw(i)
	if err != nil {
		return err
	}
	d := decoders.Get().(*lzma2.Decoder)
	defer decoders.Put(d)
	n, used, err := d.Decode(dst, raw.data, raw.dict)
	switch {
	case err != nil:
		return lzmaError(err)
	case n < len(dst):
		return formatErrorf("decodes to %d bytes less than the index says", len(dst)-n)
	case used < len(raw.data):
		return formatErrorf("%d bytes of compressed data are left over", len(raw.data)-used)
	}
	h := raw.kind.newHash()
	if h != nil {
		h.Write(dst)
	}
	return raw.compare(h)
}

func (f *File) blockError(i int, err error) error {
	return &BlockError{Block: i, Blocks: len(f.Blocks), Err: err}
}

func lzmaError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return formatErrorf("compressed data is cut short")
	}
	return formatErrorf("%v", err)
}
