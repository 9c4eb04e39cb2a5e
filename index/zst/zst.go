// SPDX-License-Identifier: Apache-2.0

// Package zst reads and writes the container of cache files (kheadersfs-archive(5)):
// frames of zstd (RFC 8878), a skippable frame with an index, and a skippable frame with
// the sizes of all of these, which is the seek table of zstd's seekable format 0.1.0
// (contrib/seekable_format of the zstd sources). A seek table has no checksum, and
// with other sizes files would lie elsewhere: so the index is followed by the CRC32C
// of the entries of the frames before it.
package zst

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Magic begins a frame of zstd.
const Magic = "\x28\xb5\x2f\xfd"

const (
	skippableIndex = 0x184d2a50
	skippableSeek  = 0x184d2a5e
	seekMagic      = 0x8f92eab1
	skippableSize  = 8 // of a skippable frame's header
	sumSize        = 4 // of the checksum after the index
	entrySize      = 8 // of a frame's entry in the seek table
	footerSize     = 9
)

// Limits, checked before memory is taken.
const (
	MaxFrames   = 1 << 18
	MaxUnpacked = 1 << 30
	MaxFrame    = 8 << 20              // unpacked bytes of one frame
	maxFile     = MaxUnpacked + 64<<20 // more than any file has that keeps within the other limits
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Is reports whether a file of the given size begins and ends like a cache file.
func Is(r io.ReaderAt, size int64) bool {
	var head, tail [4]byte
	if n, _ := r.ReadAt(head[:], 0); n < len(head) || size <= footerSize || string(head[:]) != Magic {
		return false
	}
	n, _ := r.ReadAt(tail[:], size-int64(len(tail)))
	return n == len(tail) && binary.LittleEndian.Uint32(tail[:]) == seekMagic
}

// A Frame is one of the zstd frames.
type Frame struct {
	At     int64 // in the file
	Packed int   // bytes in the file
	Start  int64 // of its bytes in what the whole file decodes to
	Size   int   // of those bytes
}

// A File is a cache file. Concurrent use is safe.
type File struct {
	Index  []byte
	Frames []Frame

	r       io.ReaderAt
	decoder *zstd.Decoder
	buffers sync.Pool
}

// Open reads the seek table and the index of a file of the given size. Frames are
// read from r whenever they are decoded. Errors don't say that they are about zstd.
func Open(r io.ReaderAt, size int64) (*File, error) {
	if size > maxFile {
		return nil, fmt.Errorf("file exceeds %d MiB", maxFile>>20)
	}
	frames, sum, err := readSeekTable(r, size)
	if err != nil {
		return nil, err
	}
	last := len(frames) - 1
	errNoIndex := errors.New("last frame is not an index")
	if last < 0 || frames[last].Size != 0 {
		return nil, errNoIndex
	}
	index := make([]byte, frames[last].Packed)
	if _, err := r.ReadAt(index, frames[last].At); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if len(index) < skippableSize+sumSize || le.Uint32(index) != skippableIndex || int(le.Uint32(index[4:])) != len(index)-skippableSize {
		return nil, errNoIndex
	}
	index, stored := index[skippableSize:len(index)-sumSize], index[len(index)-sumSize:]
	if le.Uint32(stored) != sum {
		return nil, errors.New("checksum of the seek table does not match")
	}
	f := &File{Index: index, Frames: frames[:last], r: r}
	f.buffers.New = func() any { return new([]byte) }
	limit := uint64(1 << 10)
	for _, frame := range f.Frames {
		limit = max(limit, uint64(frame.Size))
	}
	f.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(limit), zstd.WithDecoderMaxWindow(limit))
	return f, err
}

// Unpacked returns the number of bytes that all frames decode to.
func (f *File) Unpacked() int64 {
	if len(f.Frames) == 0 {
		return 0
	}
	last := f.Frames[len(f.Frames)-1]
	return last.Start + int64(last.Size)
}

// readSeekTable returns all frames before the seek table, which lie there without a
// gap, and the checksum of the entries of all but the last one.
func readSeekTable(r io.ReaderAt, size int64) ([]Frame, uint32, error) {
	le := binary.LittleEndian
	footer := make([]byte, footerSize)
	if size < footerSize {
		return nil, 0, errors.New("cut short")
	}
	if _, err := r.ReadAt(footer, size-footerSize); err != nil {
		return nil, 0, err
	}
	n := int64(le.Uint32(footer))
	length := skippableSize + n*entrySize + footerSize
	switch {
	case le.Uint32(footer[5:]) != seekMagic:
		return nil, 0, errors.New("no seek table at the end: cut short, or another file")
	case footer[4] != 0:
		return nil, 0, fmt.Errorf("seek table of kind %#02x is not supported", footer[4])
	case n > MaxFrames:
		return nil, 0, fmt.Errorf("%d frames, more than %d", n, MaxFrames)
	case length > size:
		return nil, 0, fmt.Errorf("seek table of %d frames in a file of %d bytes", n, size)
	}
	table := make([]byte, length)
	if _, err := r.ReadAt(table, size-length); err != nil {
		return nil, 0, err
	}
	if le.Uint32(table) != skippableSeek || int64(le.Uint32(table[4:])) != length-skippableSize {
		return nil, 0, errors.New("seek table is not well formed")
	}
	frames := make([]Frame, n)
	at, start := int64(0), int64(0)
	for i := range frames {
		entry := table[skippableSize+i*entrySize:]
		packed, size := le.Uint32(entry), le.Uint32(entry[4:])
		if size > MaxFrame {
			return nil, 0, fmt.Errorf("frame %d exceeds %d MiB", i+1, MaxFrame>>20)
		}
		frames[i] = Frame{at, int(packed), start, int(size)}
		at += int64(packed)
		start += int64(size)
	}
	switch {
	case at != size-length:
		return nil, 0, fmt.Errorf("sizes in the seek table add up to %d bytes instead of %d", at, size-length)
	case start > MaxUnpacked:
		return nil, 0, fmt.Errorf("unpacked size exceeds %d GiB", MaxUnpacked>>30)
	}
	entries := table[skippableSize:][:max(0, n-1)*entrySize]
	return frames, crc32.Checksum(entries, castagnoli), nil
}

// Decode reads frame i and decodes it, into buf if its bytes fit. The frame must have
// a checksum, which is checked.
func (f *File) Decode(i int, buf []byte) ([]byte, error) {
	frame := f.Frames[i]
	b := f.buffers.Get().(*[]byte)
	defer f.buffers.Put(b)
	if cap(*b) < frame.Packed {
		*b = make([]byte, frame.Packed)
	}
	packed := (*b)[:frame.Packed]
	if _, err := f.r.ReadAt(packed, frame.At); err != nil {
		return nil, err
	}
	// DecodeAll decodes as many frames as there are: one that declares the whole
	// size is the only one that holds anything, so its checksum is over all.
	var h zstd.Header
	if err := h.Decode(packed); err != nil || !h.HasCheckSum || !h.HasFCS || h.FrameContentSize != uint64(frame.Size) {
		return nil, errors.New("not a zstd frame with this size and a checksum")
	}
	return f.decoder.DecodeAll(packed, buf)
}
