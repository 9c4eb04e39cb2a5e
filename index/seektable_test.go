// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// A seekable is a cache file taken apart.
type seekable struct {
	frames  [][]byte // of the tar
	sizes   []uint32 // that those decode to
	index   []byte   // without the checksum behind it
	entries []byte   // of the seek table, if it isn't to be made from the above
	footer  []byte
}

func takeApart(t testing.TB, b []byte) *seekable {
	t.Helper()
	le := binary.LittleEndian
	s := &seekable{footer: b[len(b)-seekFooterSize:]}
	n := int(le.Uint32(s.footer))
	table := b[len(b)-seekFooterSize-n*seekEntrySize:]
	at := 0
	for i := range n {
		packed, size := int(le.Uint32(table[i*seekEntrySize:])), le.Uint32(table[i*seekEntrySize+4:])
		if i == n-1 {
			s.index = b[at+skippableSize : at+packed-sumSize]
			return s
		}
		s.frames, s.sizes = append(s.frames, b[at:at+packed]), append(s.sizes, size)
		at += packed
	}
	t.Fatal("no frames")
	return nil
}

// bytes puts it together again, with all checksums as they must be.
func (s *seekable) bytes() []byte {
	le := binary.LittleEndian
	var all, entries []byte
	for i, f := range s.frames {
		all = append(all, f...)
		entries = le.AppendUint32(le.AppendUint32(entries, uint32(len(f))), s.sizes[i])
	}
	index := le.AppendUint32(bytes.Clone(s.index), crc32.Checksum(entries, castagnoli))
	all = append(all, skippable(skippableIndex, index)...)
	entries = le.AppendUint32(le.AppendUint32(entries, uint32(skippableSize+len(index))), 0)
	if s.entries != nil {
		entries = s.entries
	}
	return append(all, skippable(skippableSeek, append(entries, s.footer...))...)
}

func skippable(magic uint32, b []byte) []byte {
	le := binary.LittleEndian
	return append(le.AppendUint32(le.AppendUint32(nil, magic), uint32(len(b))), b...)
}

// seekEntries are pairs of sizes.
func seekEntries(sizes ...uint32) (b []byte) {
	for _, n := range sizes {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

func seekFooter(n uint32) []byte {
	le := binary.LittleEndian
	return le.AppendUint32(append(le.AppendUint32(nil, n), 0), seekMagic)
}

// zstdFrame compresses data by itself, as the options say.
func zstdFrame(t testing.TB, data []byte, options ...zstd.EOption) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, options...)
	must(t, err)
	return enc.EncodeAll(data, nil)
}

func seekableExample(t testing.TB) []byte {
	return written(t, memoryTree(t, append(kernelTree(), file("./large", text(9, 2*seekableBlock)))...))
}

// What a seek table or the frames around it must not be, and what is said then.
func TestSeekTableRefused(t *testing.T) {
	good := seekableExample(t)
	if !bytes.Equal(takeApart(t, good).bytes(), good) {
		t.Fatal("taken apart and put together it is another file")
	}
	many := func(n int, packed, size uint32) (all []uint32) {
		for range n {
			all = append(all, packed, size)
		}
		return all
	}
	for _, test := range []struct {
		name   string
		change func(s *seekable) // to the parts, or
		file   func() []byte     // to all
		want   string
	}{
		{"nothing", nil, func() []byte { return nil }, "cut short"},
		{"less than a footer", nil, func() []byte { return good[len(good)-8:] }, "cut short"},
		{"only a footer", nil, func() []byte { return good[len(good)-9:] }, "a seek table of "},
		{"no seek table", nil, func() []byte { return good[:len(good)-1] }, "no seek table at the end: cut short, or another file"},
		{"checksums in the table", func(s *seekable) { s.footer = []byte("\x00\x00\x00\x00\x80\xb1\xea\x92\x8f") }, nil, "a seek table of kind 0x80, which is not supported"},
		{"more frames than may be", func(s *seekable) { s.footer = seekFooter(xz.MaxBlocks + 1) }, nil, "262145 frames, more than the limit of 262144"},
		{"as many as can be told", func(s *seekable) { s.footer = seekFooter(math.MaxUint32) }, nil, "4294967295 frames, more than the limit of 262144"},
		{"more frames than bytes", func(s *seekable) { s.footer = seekFooter(xz.MaxBlocks) }, nil, "a seek table of 262144 frames in "},
		{"one frame more than entries", func(s *seekable) { s.footer = seekFooter(uint32(len(s.frames) + 2)) }, nil, "the seek table is not well formed"},
		{"no frames", func(s *seekable) { s.frames, s.sizes, s.entries, s.footer = nil, nil, []byte{}, seekFooter(0) }, nil, "the seek table tells of 0 bytes instead of "},
		{"nothing but a seek table", nil, func() []byte { return skippable(skippableSeek, seekFooter(0)) }, "the last frame is not an index"},
		{"a frame larger than may be", func(s *seekable) { s.sizes[0] = maxPackedBlock + 1 }, nil, "frame 0 of 8388609 bytes, more than the limit of 8388608"},
		{"a packed size of 4 GiB", func(s *seekable) { s.entries, s.footer = seekEntries(math.MaxUint32, 0), seekFooter(1) }, nil, "the seek table tells of 4294967295 bytes instead of "},
		{"sums that overflow 32 bits", func(s *seekable) {
			s.entries, s.footer = seekEntries(many(4096, 1<<20, 0)...), seekFooter(4096)
		}, nil, "the seek table tells of 4294967296 bytes instead of "},
		{"more unpacked than may be", func(s *seekable) {
			s.frames, s.sizes, s.footer = make([][]byte, 129), make([]uint32, 129), seekFooter(130)
			for i := range s.sizes {
				s.sizes[i] = maxPackedBlock
			}
		}, nil, "1082130432 bytes unpacked, more than the limit of 1073741824"},
		{"a tar frame at the end", nil, func() []byte {
			f := zstdFrame(t, nil)
			return append(f, skippable(skippableSeek, append(seekEntries(uint32(len(f)), 0), seekFooter(1)...))...)
		}, "the last frame is not an index"},
		{"an index that decodes to something", nil, func() []byte {
			f := skippable(skippableIndex, make([]byte, 100))
			return append(f, skippable(skippableSeek, append(seekEntries(uint32(len(f)), 1), seekFooter(1)...))...)
		}, "the last frame is not an index"},
		{"an index frame of no size", nil, func() []byte { return skippable(skippableSeek, append(seekEntries(0, 0), seekFooter(1)...)) }, "the last frame is not an index"},
		{"an index frame of the wrong size", nil, func() []byte {
			f := append(skippable(skippableIndex, make([]byte, 100)), 0)
			return append(f, skippable(skippableSeek, append(seekEntries(uint32(len(f)), 0), seekFooter(1)...))...)
		}, "the last frame is not an index"},
		{"other sizes than the index was made for", func(s *seekable) {
			s.entries = seekEntries()
			for i, f := range s.frames {
				s.entries = append(s.entries, seekEntries(uint32(len(f)), s.sizes[i]+1)...)
			}
			s.entries = append(s.entries, seekEntries(uint32(skippableSize+len(s.index)+sumSize), 0)...)
		}, nil, "the seek table's checksum does not match"},
		{"another version of the index", func(s *seekable) { s.index[8] = 2 }, nil, "index: an index of another version: 2"},
		{"an index that is none", func(s *seekable) { s.index = s.index[:20] }, nil, "index: not one"},
		{"a changed index", func(s *seekable) { s.index[70] ^= 1 }, nil, "index: the checksum does not match"},
		{"a frame missing", func(s *seekable) {
			last := len(s.frames) - 1
			s.frames, s.sizes, s.footer = s.frames[:last], s.sizes[:last], seekFooter(uint32(last+1))
		}, nil, "index: entry "},
	} {
		b := bytes.Clone(good)
		if test.change != nil {
			s := takeApart(t, b)
			test.change(s)
			b = s.bytes()
		} else {
			b = test.file()
		}
		tree, err := openBytes(b)
		if err == nil || tree != nil || !strings.HasPrefix(err.Error(), "seekable zstd: "+test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := OpenSeekable(nil, maxSeekable+1); err == nil || err.Error() != "seekable zstd: more than the limit of 1140850688 bytes" {
		t.Errorf("a file that is too large: %v", err)
	}
	broken := errors.New("broken")
	for n := range 3 { // the footer, the table, the index
		if _, err := OpenSeekable(&breaking{bytes.NewReader(good), n, broken}, int64(len(good))); !errors.Is(err, broken) {
			t.Errorf("read %d fails: %v", n, err)
		}
	}
}

type breaking struct {
	r   io.ReaderAt
	n   int
	err error
}

func (b *breaking) ReadAt(p []byte, off int64) (int, error) {
	if b.n--; b.n < 0 {
		return 0, b.err
	}
	return b.r.ReadAt(p, off)
}

// A frame that is not what the seek table tells: files in it can't be read, and
// all others can.
func TestSeekableWrongFrame(t *testing.T) {
	good := seekableExample(t)
	parts := takeApart(t, good)
	dec, err := zstd.NewReader(nil)
	must(t, err)
	data, err := dec.DecodeAll(parts.frames[1], nil) // of nothing but the large file
	must(t, err)
	half := len(data) / 2
	const notOne = "not a zstd frame with this size and a checksum"
	for _, test := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"less than it should be", zstdFrame(t, data[1:]), notOne},
		{"more than it should be", zstdFrame(t, append(bytes.Clone(data), 0)), notOne},
		{"much more than it should be", zstdFrame(t, make([]byte, 64<<20)), notOne},
		{"no checksum", zstdFrame(t, data, zstd.WithEncoderCRC(false)), notOne},
		{"a skippable frame", skippable(skippableIndex, data), notOne},
		{"two frames", append(zstdFrame(t, data[:half]), zstdFrame(t, data[half:])...), notOne},
		{"a frame and one without a checksum", append(zstdFrame(t, data[:half]), zstdFrame(t, data[half:], zstd.WithEncoderCRC(false))...), notOne},
		{"nothing", nil, notOne},
		{"other data", zstdFrame(t, data)[:50], ""},
		{"a frame and more", append(zstdFrame(t, data), zstdFrame(t, []byte("more"))...), ""},
		{"a wrong checksum", changed(parts.frames[1], len(parts.frames[1])-1), ""},
	} {
		s := takeApart(t, good)
		s.frames[1] = test.frame
		tree := opened(t, s.bytes())
		id, _ := tree.Find("large")
		var damage *BlockError
		_, err := tree.ReadAt(id, make([]byte, 2*seekableBlock), 0)
		if !errors.As(err, &damage) || damage.Block != 1 || !strings.HasPrefix(damage.Err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err := Verify(s.bytes()); err == nil {
			t.Errorf("%s: verify finds nothing", test.name)
		}
		id, _ = tree.Find("include/cold.h")
		if string(read(t, tree, id)) != text(4, 900) {
			t.Errorf("%s: another file has other bytes", test.name)
		}
	}
}

func changed(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// Numbers in a small file don't make us take memory.
func TestSeekableMemory(t *testing.T) {
	s := takeApart(t, seekableExample(t))
	s.frames, s.sizes = append(s.frames, nil), append(s.sizes, maxPackedBlock)
	s.footer = seekFooter(uint32(len(s.frames) + 1))
	for name, b := range map[string][]byte{
		"a large frame":   s.bytes(),
		"many frames":     seekFooter(xz.MaxBlocks),
		"a packed 4 GiB":  skippable(skippableSeek, append(seekEntries(math.MaxUint32-100, 0), seekFooter(1)...)),
		"frames of 1 GiB": skippable(skippableSeek, append(bytes.Repeat(seekEntries(0, maxPackedBlock), 128), seekFooter(128)...)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		openBytes(b)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: %d bytes for a file of %d", name, n, len(b))
		}
	}
}
