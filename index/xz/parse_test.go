// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// plainHeader is a block header without sizes and with a dictionary of 64 KiB.
var plainHeader = craftHeader(0, filterLZMA2, 1, 8)

// hostile returns files that are malformed although their checksums match.
func hostile() []struct {
	name, want string
	data       []byte
} {
	payload := plain([]byte("hello\n"))
	file := func(header []byte) []byte { return craftFile(header, payload, 6) }
	flags := func(a, b byte) []byte { return crafted{flags: [2]byte{a, b}}.bytes() }
	index := func(body ...byte) []byte { return crafted{index: craftIndex(body...)}.bytes() }
	records := func(r ...Block) []byte { return crafted{records: r}.bytes() }
	padded := func(size int64, padding ...byte) []byte {
		b := append(append(bytes.Clone(plainHeader), payload...), padding...)
		return crafted{blocks: b, records: []Block{{Size: size, Length: 6}}}.bytes()
	}
	whole := file(plainHeader)
	size := int64(len(plainHeader) + len(payload))
	short := crafted{flags: [2]byte{0, byte(CheckSHA256)}, blocks: make([]byte, 8), records: []Block{{Size: 5, Length: 6}}}.bytes()
	return []struct {
		name, want string
		data       []byte
	}{
		{"empty", "empty file", nil},
		{"only padding", "8 bytes of padding with no stream in front", make([]byte, 8)},
		{"odd padding", "3 bytes are too few for a stream", make([]byte, 7)},
		{"not xz", "no stream footer at the end", text(100)},
		{"only a magic", "no stream footer at the end", []byte(strings.Repeat(Magic, 10))},
		{"only a footer", "index of 8 bytes does not fit in the file", crafted{}.bytes()[8:]},
		{"garbage in front", "no stream footer at the end", append(text(100)[:50:50], whole...)},
		{"another header", "stream header is missing", append([]byte("x"), whole[1:]...)},
		{"odd padding behind", "no stream footer at the end", append(bytes.Clone(whole), 0, 0, 0, 0, 0)},
		{"padding in front", "4 bytes of padding with no stream in front", append(make([]byte, 4), whole...)},
		{"check 2", "check of kind 2 is not supported", flags(0, 2)},
		{"check 15", "check of kind 15 is not supported", flags(0, 15)},
		{"check 16", "check of kind 16 is not supported", flags(0, 16)},
		{"stream flags", "stream flags 0x01 are not supported", flags(1, 4)},
		{"footer of another stream", "header and footer disagree (check none and CRC32)", crafted{footer: &[2]byte{0, 1}}.bytes()},
		{"index begins with 1", "index is missing", index(1, 0)},
		{"number without end", "index is not well formed", index(0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1)},
		{"number longer than it must be", "index is not well formed", index(0, 0x80, 0)},
		{"more records than bytes", "index is not well formed", index(0, 100, 5, 5, 5, 5)},
		{"record count of 2^62", "index is not well formed", index(0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f)},
		{"record cut short", "record 1 of the index is not well formed", index(0, 1, 0x80, 0x80)},
		{"block too small", "record 1 of the index is not well formed", records(Block{Size: 4, Length: 1})},
		{"block of 2^62", "record 1 of the index is not well formed", records(Block{Size: 1 << 62, Length: 1})},
		{"index padding", "padding of the index is not well formed", index(0, 0, 1)},
		{"much index padding", "padding of the index is not well formed", index(0, 0, 0, 0, 0, 0, 0, 0)},
		{"more blocks than file", "blocks of the index do not fit in the file", records(Block{Size: 100, Length: 1})},
		{"reserved block flags", "block flags 0x04 are not supported", file(craftHeader(4, filterLZMA2, 1, 8))},
		{"reserved block flags", "block flags 0x20 are not supported", file(craftHeader(0x20, filterLZMA2, 1, 8))},
		{"ARM64", "filter 0x0a (ARM64) is not supported", file(craftHeader(1, 0x0a, 0, filterLZMA2, 1, 8))},
		{"RISC-V", "filter 0x0b (RISC-V) is not supported", file(craftHeader(1, 0x0b, 0, filterLZMA2, 1, 8))},
		{"unknown filter", "filter 0x22 is not supported", file(craftHeader(0, 0x22, 1, 8))},
		{"private filter", "filter 0x4000000000000000 is not supported", file(craftHeader(0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0))},
		{"LZMA2 twice", "block header is not well formed", file(craftHeader(1, filterLZMA2, 1, 8, filterLZMA2, 1, 8))},
		{"LZMA2 with two properties", "block header is not well formed", file(craftHeader(0, filterLZMA2, 2, 8, 0))},
		{"LZMA2 without properties", "block header is not well formed", file(craftHeader(0, filterLZMA2, 0, 8))},
		{"properties cut short", "block header is not well formed", file(craftHeader(0, filterLZMA2, 9, 8))},
		{"dictionary 41", "block header is not well formed", file(craftHeader(0, filterLZMA2, 1, 41))},
		{"header padding", "block header is not well formed", file(craftHeader(0, filterLZMA2, 1, 8, 0, 1))},
		{"no filter", "block header is not well formed", file(craftHeader(0x40, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80))},
		{"compressed size 0", "block header is not well formed", file(craftHeader(0x40, 0, filterLZMA2, 1, 8))},
		{"compressed size", "header and index disagree about the compressed size", file(craftHeader(0x40, 11, filterLZMA2, 1, 8))},
		{"size", "header and index disagree about the size", file(craftHeader(0x80, 7, filterLZMA2, 1, 8))},
		{"index tells more", "decodes to 1 bytes less than the index says", craftFile(plainHeader, payload, 7)},
		{"index tells less", "decodes to more bytes than the index says", craftFile(plainHeader, payload, 5)},
		{"index tells nothing", "decodes to more bytes than the index says", craftFile(plainHeader, payload, 0)},
		{"payload too long", "1 bytes of compressed data are left over", craftFile(plainHeader, append(plain([]byte("hello\n")), 0), 6)},
		{"payload too short", "compressed data is cut short", craftFile(plainHeader, payload[:9], 6)},
		{"no payload", "header and index disagree about the compressed size", craftFile(plainHeader, nil, 6)},
		{"block padding", "padding of the block is not zero", padded(size, 0, 1)},
		{"block smaller than its check", "index instead of a block", short},
		{"chunk 3", "unexpected", craftFile(plainHeader, []byte{3, 0, 0, 1, 0}, 1)},
		{"no dictionary reset", "unexpected", craftFile(plainHeader, []byte{2, 0, 0, 1, 0}, 1)},
	}
}

func TestHostile(t *testing.T) {
	for _, test := range hostile() {
		t.Run(test.name, func(t *testing.T) {
			_, err := decode(test.data)
			if err == nil || test.want != "unexpected" && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "xz") {
				t.Errorf("%q does not say that it is about xz", err)
			}
			if damaged := !strings.Contains(test.want, "supported"); err != nil && errors.Is(err, ErrFormat) != damaged {
				t.Errorf("%v is ErrFormat: %v, want %v", err, !damaged, damaged)
			}
			decodeAll(Salvage(test.data))
		})
	}
	if got, err := decode(craftFile(plainHeader, plain([]byte("hello\n")), 6)); err != nil || string(got) != "hello\n" {
		t.Errorf("the well-formed file: %q, %v", got, err)
	}
}

func TestLimits(t *testing.T) {
	many := func(n int) []byte {
		b := binary.AppendUvarint([]byte{0}, uint64(n))
		return craftIndex(append(b, bytes.Repeat([]byte{5, 0}, n)...)...)
	}
	empty := crafted{}.bytes()
	big := func(length int64) []byte {
		return craftFile(craftHeader(0, filterLZMA2, 1, 40), plain(noise(1<<16)), length)
	}
	for _, test := range []struct {
		name, want string
		data       []byte
		most       uint64 // bytes of memory
	}{
		{"an index of 3 GiB", "unpacked size exceeds 1 GiB", big(3 << 30), 1 << 16},
		{"just too much", "unpacked size exceeds 1 GiB", big(MaxUnpacked + 1), 1 << 16},
		{"nearly 2^63", "unpacked size exceeds 1 GiB", big(1<<63 - 1), 1 << 16},
		{"too much together", "unpacked size exceeds 1 GiB", append(big(MaxUnpacked), big(1)...), 1 << 16},
		{"a dictionary just too large", "dictionary of 268435457 bytes exceeds 256 MiB", big(MaxDict + 1), 1 << 20},
		{"a dictionary for which the block is too small", "less than the index says",
			craftFile(craftHeader(0, filterLZMA2, 1, 40), plain([]byte("x")), MaxDict), 1 << 20},
		{"too many blocks", "more than 262144 blocks", crafted{index: many(MaxBlocks + 1)}.bytes(), 1 << 16},
		{"many blocks", "blocks of the index do not fit in the file", crafted{index: many(MaxBlocks)}.bytes(), 16 << 20},
		{"too many streams", "more than 262144 blocks and streams", bytes.Repeat(empty, MaxBlocks+1), 64 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			var err error
			took := allocated(func() { _, err = decodeSize(test.data) })
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if took > test.most {
				t.Errorf("allocates %d bytes, want at most %d", took, test.most)
			}
		})
	}
	if _, err := decodeSize(bytes.Repeat(empty, 1000)); err != nil {
		t.Errorf("1000 streams: %v", err)
	}
	if f, err := Parse(big(MaxUnpacked)); err != nil || f.Unpacked() != MaxUnpacked {
		t.Errorf("an index of 1 GiB: %v", err)
	}
}

// decodeSize decodes the file in data, and returns how many bytes it decodes to.
func decodeSize(data []byte) (int64, error) {
	f, err := Parse(data)
	if err != nil {
		return 0, err
	}
	return io.Copy(struct{ io.Writer }{io.Discard}, f.Reader())
}

// A header that gives an LZMA chunk one byte too many is an error. Otherwise Scan
// would find another end than the decoder.
func TestChunkSize(t *testing.T) {
	data := xzOf(t, text(900), "-T1", "--check=none")
	chunk := data[headerSize:][len(plainHeader):] // its bytes 3 and 4 are the size
	chunk[4]++
	_, err := decode(data)
	if want := "chunk takes another number of bytes than it says"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestReaderIsAReader(t *testing.T) {
	data := text(5000)
	f, err := Parse(xzOf(t, data, "-T1", "--block-size=1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(f.Reader(), data); err != nil {
		t.Error(err)
	}
	for i, b := range f.Blocks {
		if err := iotest.TestReader(f.BlockReader(i), data[b.Start:][:b.Length]); err != nil {
			t.Errorf("block %d: %v", i, err)
		}
	}
	for _, r := range []io.Reader{f.Reader(), f.BlockReader(0)} {
		if n, err := r.Read(nil); n != 0 || err != nil { // looped for ever once
			t.Errorf("reading nothing: %d, %v", n, err)
		}
	}
}

func TestHead(t *testing.T) {
	data := text(300_000)
	for name, packed := range map[string][]byte{
		"one block":    xzOf(t, data, "-T1"),
		"blocks":       xzOf(t, data, "-T1", "--block-size=100000"),
		"empty first":  append(xzOf(t, nil), xzOf(t, data)...),
		"huge dict":    setDict(t, xzOf(t, data, "-T1"), 40),
		"cannot pack":  xzOf(t, noise(len(data))),
		"small blocks": xzOf(t, data[:10], "-T1", "--block-size=4"),
	} {
		f, err := Parse(packed)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := decode(packed)
		for _, n := range []int{0, 1, 4, 512, 4096} {
			p := make([]byte, n)
			got := f.FileHead(p)
			if name == "small blocks" {
				n = min(n, 4) // no more than the first block
			}
			if got != n || !bytes.Equal(p[:got], want[:got]) {
				t.Errorf("%s: Head of %d bytes returns %d", name, n, got)
			}
		}
	}
	for name, data := range map[string][]byte{
		"no blocks": crafted{}.bytes(),
		"no block":  crafted{blocks: make([]byte, 8), records: []Block{{Size: 5, Length: 6}}}.bytes(), // panicked once
		"no filter": craftFile(craftHeader(0, 0x22, 1, 8), []byte{0}, 5),
		"no chunks": craftFile(plainHeader, []byte{0}, 5),
	} {
		f, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if n := f.FileHead(make([]byte, 10)); n != 0 {
			t.Errorf("%s: Head returns %d", name, n)
		}
	}
}
