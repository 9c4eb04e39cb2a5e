// SPDX-License-Identifier: Apache-2.0

package zst

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

	"github.com/kheadersfs/kheadersfs/tests/need"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openBytes(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

const frameSize = 128 << 10

// frameData returns what frame i of the example decodes to.
func frameData(i int) string { return tartest.Text(uint64(i), frameSize-i) }

// example returns a file of three frames and an index.
func example(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, frameSize)
	must(t, err)
	for i := range 3 {
		must(t, w.WriteFrame([]byte(frameData(i))))
	}
	must(t, w.Close([]byte("an index")))
	return b.Bytes()
}

// A parts is the parts of a cache file.
type parts struct {
	frames  [][]byte // of the tar
	sizes   []uint32 // of the decoded frames
	index   []byte   // without the checksum behind it
	entries []byte   // of the seek table; nil for those of frames and sizes
	footer  []byte
}

func takeApart(t testing.TB, b []byte) *parts {
	t.Helper()
	le := binary.LittleEndian
	s := &parts{footer: b[len(b)-footerSize:]}
	n := int(le.Uint32(s.footer))
	table := b[len(b)-footerSize-n*entrySize:]
	at := 0
	for i := range n {
		packed, size := int(le.Uint32(table[i*entrySize:])), le.Uint32(table[i*entrySize+4:])
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

// bytes returns the cache file, with the right checksums.
func (s *parts) bytes() []byte {
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

// seekEntries returns entries of a seek table. sizes are pairs: compressed, decoded.
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

// zstdFrame returns a frame of data, compressed with the given options.
func zstdFrame(t testing.TB, data []byte, options ...zstd.EOption) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, options...)
	must(t, err)
	return enc.EncodeAll(data, nil)
}

// Open reads what a Writer has written, and so does zstd.
func TestWriteAndOpen(t *testing.T) {
	b := example(t)
	f, err := openBytes(b)
	must(t, err)
	if string(f.Index) != "an index" || len(f.Frames) != 3 || f.Unpacked() != 3*frameSize-3 || !Is(bytes.NewReader(b), int64(len(b))) {
		t.Errorf("%q, %+v", f.Index, f.Frames)
	}
	all := ""
	for i := range f.Frames {
		got, err := f.Decode(i, make([]byte, 0, frameSize))
		if err != nil || string(got) != frameData(i) || f.Frames[i].Start != int64(len(all)) {
			t.Errorf("frame %d: other bytes (%v)", i, err)
		}
		all += string(got)
	}
	if got := need.Filter(t, b, "zstd", "-dc"); string(got) != all {
		t.Error("zstd decodes other bytes")
	}
	if !bytes.Equal(example(t), b) {
		t.Error("written again it has other bytes")
	}
}

// Is recognizes nothing else as a cache file.
func TestIs(t *testing.T) {
	good := example(t)
	for name, b := range map[string][]byte{
		"nothing": nil, "a footer": good[len(good)-footerSize:], "cut short": good[:len(good)-1], "a byte more": append(bytes.Clone(good), 0),
		"zstd": zstdFrame(t, []byte("x")), "another beginning": append([]byte("x"), good...),
	} {
		if Is(bytes.NewReader(b), int64(len(b))) {
			t.Errorf("%s: recognized as a cache file", name)
		}
	}
}

// Writing returns the error of the writer, and fails beyond the limit.
func TestWriteFails(t *testing.T) {
	full := errors.New("no space")
	size := len(example(t))
	for n := 0; n < size; n += size/20 + 1 {
		w, err := NewWriter(&limited{n, full}, frameSize)
		must(t, err)
		for i := range 3 {
			if err == nil {
				err = w.WriteFrame([]byte(frameData(i)))
			}
		}
		if err == nil {
			err = w.Close([]byte("an index"))
		}
		if !errors.Is(err, full) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	w, err := NewWriter(io.Discard, frameSize)
	must(t, err)
	w.size = MaxUnpacked
	if err := w.WriteFrame([]byte("x")); err == nil || err.Error() != "unpacked size exceeds 1 GiB" {
		t.Error(err)
	}
}

type limited struct {
	n   int
	err error
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.n {
		return 0, l.err
	}
	l.n -= len(p)
	return len(p), nil
}

// Malformed seek tables and frames, and the errors that Open returns for them.
func TestRefused(t *testing.T) {
	good := example(t)
	if !bytes.Equal(takeApart(t, good).bytes(), good) {
		t.Fatal("bytes does not return the file that takeApart has read")
	}
	many := func(n int, packed, size uint32) (all []uint32) {
		for range n {
			all = append(all, packed, size)
		}
		return all
	}
	for _, test := range []struct {
		name   string
		change func(s *parts) // to the parts, or
		file   func() []byte  // to all
		want   string
	}{
		{"nothing", nil, func() []byte { return nil }, "cut short"},
		{"less than a footer", nil, func() []byte { return good[len(good)-8:] }, "cut short"},
		{"only a footer", nil, func() []byte { return good[len(good)-9:] }, "seek table of "},
		{"no seek table", nil, func() []byte { return good[:len(good)-1] }, "no seek table at the end: cut short, or another file"},
		{"checksums in the table", func(s *parts) { s.footer = []byte("\x00\x00\x00\x00\x80\xb1\xea\x92\x8f") }, nil, "seek table of kind 0x80 is not supported"},
		{"more frames than may be", func(s *parts) { s.footer = seekFooter(MaxFrames + 1) }, nil, "262145 frames, more than 262144"},
		{"the highest number of frames", func(s *parts) { s.footer = seekFooter(math.MaxUint32) }, nil, "4294967295 frames, more than 262144"},
		{"more frames than bytes", func(s *parts) { s.footer = seekFooter(MaxFrames) }, nil, "seek table of 262144 frames in "},
		{"one frame more than entries", func(s *parts) { s.footer = seekFooter(uint32(len(s.frames) + 2)) }, nil, "seek table is not well formed"},
		{"no frames", func(s *parts) { s.frames, s.sizes, s.entries, s.footer = nil, nil, []byte{}, seekFooter(0) }, nil, "sizes in the seek table add up to 0 bytes instead of "},
		{"nothing but a seek table", nil, func() []byte { return skippable(skippableSeek, seekFooter(0)) }, "last frame is not an index"},
		{"a frame larger than may be", func(s *parts) { s.sizes[0] = MaxFrame + 1 }, nil, "frame 1 exceeds 8 MiB"},
		{"a packed size of 4 GiB", func(s *parts) { s.entries, s.footer = seekEntries(math.MaxUint32, 0), seekFooter(1) }, nil, "sizes in the seek table add up to 4294967295 bytes instead of "},
		{"sums that overflow 32 bits", func(s *parts) {
			s.entries, s.footer = seekEntries(many(4096, 1<<20, 0)...), seekFooter(4096)
		}, nil, "sizes in the seek table add up to 4294967296 bytes instead of "},
		{"more unpacked than may be", func(s *parts) {
			s.frames, s.sizes, s.footer = make([][]byte, 129), make([]uint32, 129), seekFooter(130)
			for i := range s.sizes {
				s.sizes[i] = MaxFrame
			}
		}, nil, "unpacked size exceeds 1 GiB"},
		{"a tar frame at the end", nil, func() []byte {
			f := zstdFrame(t, nil)
			return append(f, skippable(skippableSeek, append(seekEntries(uint32(len(f)), 0), seekFooter(1)...))...)
		}, "last frame is not an index"},
		{"an index that decodes to something", nil, func() []byte {
			f := skippable(skippableIndex, make([]byte, 100))
			return append(f, skippable(skippableSeek, append(seekEntries(uint32(len(f)), 1), seekFooter(1)...))...)
		}, "last frame is not an index"},
		{"an index frame of no size", nil, func() []byte { return skippable(skippableSeek, append(seekEntries(0, 0), seekFooter(1)...)) }, "last frame is not an index"},
		{"an index frame of the wrong size", nil, func() []byte {
			f := append(skippable(skippableIndex, make([]byte, 100)), 0)
			return append(f, skippable(skippableSeek, append(seekEntries(uint32(len(f)), 0), seekFooter(1)...))...)
		}, "last frame is not an index"},
		{"other sizes than the index was made for", func(s *parts) {
			s.entries = seekEntries()
			for i, f := range s.frames {
				s.entries = append(s.entries, seekEntries(uint32(len(f)), s.sizes[i]+1)...)
			}
			s.entries = append(s.entries, seekEntries(uint32(skippableSize+len(s.index)+sumSize), 0)...)
		}, nil, "checksum of the seek table does not match"},
	} {
		b := bytes.Clone(good)
		if test.change != nil {
			s := takeApart(t, b)
			test.change(s)
			b = s.bytes()
		} else {
			b = test.file()
		}
		f, err := openBytes(b)
		if err == nil || f != nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := Open(nil, maxFile+1); err == nil || err.Error() != "file exceeds 1088 MiB" {
		t.Errorf("a file that is too large: %v", err)
	}
	broken := errors.New("broken")
	for n := range 3 { // the footer, the table, the index
		if _, err := Open(&breaking{bytes.NewReader(good), n, broken}, int64(len(good))); !errors.Is(err, broken) {
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

// A frame that does not match the seek table is an error. Others can be decoded.
func TestWrongFrame(t *testing.T) {
	good := example(t)
	whole := takeApart(t, good)
	data := []byte(frameData(1))
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
		{"a wrong checksum", changed(whole.frames[1], len(whole.frames[1])-1), ""},
	} {
		s := takeApart(t, good)
		s.frames[1] = test.frame
		f, err := openBytes(s.bytes())
		must(t, err)
		if _, err := f.Decode(1, nil); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if b, err := f.Decode(0, nil); err != nil || string(b) != frameData(0) {
			t.Errorf("%s: another frame can't be decoded: %v", test.name, err)
		}
	}
}

func changed(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// Open allocates little memory for a small file, whatever numbers the file holds.
func TestMemory(t *testing.T) {
	s := takeApart(t, example(t))
	s.frames, s.sizes = append(s.frames, nil), append(s.sizes, MaxFrame)
	s.footer = seekFooter(uint32(len(s.frames) + 1))
	for name, b := range map[string][]byte{
		"a large frame":   s.bytes(),
		"many frames":     seekFooter(MaxFrames),
		"a packed 4 GiB":  skippable(skippableSeek, append(seekEntries(math.MaxUint32-100, 0), seekFooter(1)...)),
		"frames of 1 GiB": skippable(skippableSeek, append(bytes.Repeat(seekEntries(0, MaxFrame), 128), seekFooter(128)...)),
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
