// SPDX-License-Identifier: Apache-2.0

package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// What a cache file is made of (docs/format.md): zstd frames (RFC 8878) of a tar,
// a skippable frame with the index, and another with the sizes of all of these
// (contrib/seekable_format of the zstd sources, version 0.1.0). That one has no
// checksum, and with other sizes files lie elsewhere: so behind the index comes
// the CRC32C of the entries of the frames in front of it.
const (
	zstdMagic      = "\x28\xb5\x2f\xfd"
	skippableIndex = 0x184d2a50
	skippableSeek  = 0x184d2a5e
	seekMagic      = 0x8f92eab1
	skippableSize  = 8 // of a skippable frame's header
	sumSize        = 4 // of the checksum behind the index
	seekEntrySize  = 8
	seekFooterSize = 9
)

// maxSeekable is more than any file has that keeps within our other limits.
const maxSeekable = xz.MaxUnpacked + 64<<20

// seekableCache is how many bytes of a cache file's blocks are kept decoded.
const seekableCache = 1 << 20

// isSeekable tells whether a file begins and ends like a cache file.
func isSeekable(b []byte) bool {
	return len(b) > seekFooterSize && string(b[:4]) == zstdMagic && binary.LittleEndian.Uint32(b[len(b)-4:]) == seekMagic
}

// OpenSeekable makes a Tree of a cache file of the given size, from which blocks
// are read whenever they are needed. Its index is looked at; everything else is
// when it is read.
func OpenSeekable(r io.ReaderAt, size int64) (*Tree, error) {
	t, err := openSeekable(r, size)
	if err != nil {
		return nil, fmt.Errorf("seekable zstd: %w", err)
	}
	return t, nil
}

func openSeekable(r io.ReaderAt, size int64) (*Tree, error) {
	if size > maxSeekable {
		return nil, fmt.Errorf("more than the limit of %d bytes", int64(maxSeekable))
	}
	frames, sum, err := readSeekTable(r, size)
	if err != nil {
		return nil, err
	}
	last := len(frames) - 1
	if last < 0 || frames[last].size != 0 {
		return nil, errors.New("the last frame is not an index")
	}
	index := make([]byte, frames[last].packed)
	if _, err := r.ReadAt(index, frames[last].at); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if len(index) < skippableSize+sumSize || le.Uint32(index) != skippableIndex || int(le.Uint32(index[4:])) != len(index)-skippableSize {
		return nil, errors.New("the last frame is not an index")
	}
	index, behind := index[skippableSize:len(index)-sumSize], index[len(index)-sumSize:]
	if le.Uint32(behind) != sum {
		return nil, errors.New("the seek table's checksum does not match")
	}
	frames = frames[:last]
	blocks := make([]block, last)
	unpacked, largest := int64(0), 0
	for i, f := range frames {
		blocks[i] = block{unpacked, f.size}
		unpacked += int64(f.size)
		largest = max(largest, f.size)
	}
	decode, err := frameDecoder(r, frames, largest)
	if err != nil {
		return nil, err
	}
	t, err := decodeIndex(index, unpacked, newStore(blocks, seekableCache, decode))
	if err != nil {
		return nil, err
	}
	t.packed = true
	return t, nil
}

// A frame is one of a zstd file's.
type frame struct {
	at     int64 // in the file
	packed int   // bytes in the file
	size   int   // bytes that it decodes to
}

// readSeekTable returns all frames in front of the seek table, which lie there
// without a gap, and the checksum of the entries of all but the last one.
func readSeekTable(r io.ReaderAt, size int64) ([]frame, uint32, error) {
	le := binary.LittleEndian
	footer := make([]byte, seekFooterSize)
	if size < seekFooterSize {
		return nil, 0, errors.New("cut short")
	}
	if _, err := r.ReadAt(footer, size-seekFooterSize); err != nil {
		return nil, 0, err
	}
	n := int64(le.Uint32(footer))
	length := skippableSize + n*seekEntrySize + seekFooterSize
	switch {
	case le.Uint32(footer[5:]) != seekMagic:
		return nil, 0, errors.New("no seek table at the end: cut short, or another file")
	case footer[4] != 0:
		return nil, 0, fmt.Errorf("a seek table of kind %#02x, which is not supported", footer[4])
	case n > xz.MaxBlocks:
		return nil, 0, fmt.Errorf("%d frames, more than the limit of %d", n, xz.MaxBlocks)
	case length > size:
		return nil, 0, fmt.Errorf("a seek table of %d frames in %d bytes", n, size)
	}
	table := make([]byte, length)
	if _, err := r.ReadAt(table, size-length); err != nil {
		return nil, 0, err
	}
	if le.Uint32(table) != skippableSeek || int64(le.Uint32(table[4:])) != length-skippableSize {
		return nil, 0, errors.New("the seek table is not well formed")
	}
	frames := make([]frame, n)
	at, unpacked := int64(0), int64(0)
	for i := range frames {
		entry := table[skippableSize+i*seekEntrySize:]
		packed, size := le.Uint32(entry), le.Uint32(entry[4:])
		if size > maxPackedBlock {
			return nil, 0, fmt.Errorf("frame %d of %d bytes, more than the limit of %d", i, size, maxPackedBlock)
		}
		frames[i] = frame{at, int(packed), int(size)}
		at += int64(packed)
		unpacked += int64(size)
	}
	switch {
	case at != size-length:
		return nil, 0, fmt.Errorf("the seek table tells of %d bytes instead of %d", at, size-length)
	case unpacked > xz.MaxUnpacked:
		return nil, 0, fmt.Errorf("%d bytes unpacked, more than the limit of %d", unpacked, int64(xz.MaxUnpacked))
	}
	entries := table[skippableSize:][:max(0, n-1)*seekEntrySize]
	return frames, crc32.Checksum(entries, castagnoli), nil
}

// frameDecoder returns a function that reads a frame and decodes it; a checksum
// must be in it. largest is the most bytes that one decodes to.
func frameDecoder(r io.ReaderAt, frames []frame, largest int) (func(i int, buf []byte) ([]byte, error), error) {
	limit := uint64(max(largest, 1<<10))
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(limit), zstd.WithDecoderMaxWindow(limit))
	if err != nil {
		return nil, err
	}
	buffers := sync.Pool{New: func() any { return new([]byte) }}
	return func(i int, buf []byte) ([]byte, error) {
		b := buffers.Get().(*[]byte)
		defer buffers.Put(b)
		if cap(*b) < frames[i].packed {
			*b = make([]byte, frames[i].packed)
		}
		packed := (*b)[:frames[i].packed]
		if _, err := r.ReadAt(packed, frames[i].at); err != nil {
			return nil, err
		}
		// One that tells the size is the only one that holds anything, so its
		// checksum is over all.
		var h zstd.Header
		if err := h.Decode(packed); err != nil || !h.HasCheckSum || !h.HasFCS || h.FrameContentSize != uint64(frames[i].size) {
			return nil, errors.New("not a zstd frame with this size and a checksum")
		}
		return dec.DecodeAll(packed, buf)
	}, nil
}
