// SPDX-License-Identifier: Apache-2.0

package lzma2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ulikunitz/xz/lzma"
)

// text returns n bytes that look like a header, always the same.
func text(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("struct static inline void unsigned long int const char * return if else u32 list_head spinlock_t " +
		"#define #ifdef #endif CONFIG_SMP __user device kobject ( ) { } ; , -> /* */ \n \n\t \n\n")
	words = append(words, "\n", "\n\t", "\n\t\t", "_LINUX_")
	var b bytes.Buffer
	for b.Len() < n {
		if rnd.IntN(9) == 0 {
			fmt.Fprintf(&b, "%#x", rnd.Uint32())
		}
		b.WriteString(words[rnd.IntN(rnd.IntN(len(words))+1)])
		b.WriteByte(" \t_"[rnd.IntN(3)])
	}
	return b.Bytes()[:n]
}

// noise returns n bytes that nothing makes smaller, always the same.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// period returns n bytes that are the same as those distance in front of them.
func period(n, distance int) []byte {
	return bytes.Repeat(noise(distance), n/distance+1)[:n]
}

// mixed returns bytes of all kinds.
func mixed() []byte {
	return bytes.Join([][]byte{text(50_000), noise(70_000), make([]byte, 3000), text(30_000),
		noise(100), period(40_000, 4096), noise(66_000), text(9000)}, nil)
}

// encode packs data by the oracle's encoder.
func encode(t testing.TB, data []byte, dict int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := lzma.Writer2Config{DictCap: dict}.NewWriter2(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// oracle decodes src as far as ulikunitz/xz does.
func oracle(src []byte, dict int) ([]byte, error) {
	r, err := lzma.Reader2Config{DictCap: max(dict, lzma.MinDictCap)}.NewReader2(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// stream decodes src by a Reader, as far as it goes.
func stream(src []byte, dict int) (data []byte, unused int, err error) {
	r := NewReader(src, dict)
	var last, kept []byte
	for {
		p, err := r.Next()
		if !bytes.Equal(last, kept) {
			return data, 0, errors.New("Next has changed the last piece")
		}
		if err == io.EOF {
			err = nil
			return data, r.Unused(), err
		}
		if err != nil {
			return data, r.Unused(), err
		}
		data = append(data, p...)
		last, kept = p, bytes.Clone(p)
	}
}

// check decodes src in every way.
func check(t *testing.T, src, want []byte, dict int) {
	t.Helper()
	var d Decoder
	for _, behind := range []int{0, 100} {
		src := append(bytes.Clone(src), bytes.Repeat([]byte{0xff}, behind)...)
		dst := make([]byte, len(want), len(want)+1000)
		n, used, err := d.Decode(dst, src, dict)
		if err != nil || used != len(src)-behind || !bytes.Equal(dst[:n], want) {
			t.Fatalf("Decode, with %d bytes behind: %d bytes from %d of %d, error %v", behind, n, used, len(src)-behind, err)
		}
		if rest := dst[len(want):cap(dst)]; bytes.Count(rest, []byte{0}) != len(rest) {
			t.Fatal("Decode has written behind dst")
		}
		got, unused, err := stream(src, dict)
		if err != nil || unused != behind || !bytes.Equal(got, want) {
			t.Fatalf("Reader, with %d bytes behind: %d bytes, %d left over, error %v", behind, len(got), unused, err)
		}
	}
	if len(want) > 0 {
		if _, _, err := d.Decode(make([]byte, len(want)-1), src, dict); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("with a buffer one byte too small: %v", err)
		}
	}
	if n, _, err := d.Decode(make([]byte, len(want)+1000), src, dict); n != len(want) || err != nil {
		t.Errorf("with a large buffer: %d bytes, error %v", n, err)
	}
	if len(want) < 1000 {
		if err := iotest.TestReader(NewReader(src, dict), want); err != nil {
			t.Error(err)
		}
	}
}

func TestDecode(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing": nil, "one byte": {'x'}, "text": text(100_000), "little text": text(900), "much text": text(3 << 20),
		"zeros": make([]byte, 3<<20), "noise": noise(200_001), "mixed": mixed(),
	} {
		t.Run(name, func(t *testing.T) {
			check(t, encode(t, data, 8<<20), data, 8<<20)
		})
	}
}

// Distances up to the size of the dictionary have to be there, at each place of the
// window, and none beyond.
func TestWindow(t *testing.T) {
	const dict = 4096
	for _, distance := range []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 272, 273, 274, 1000, 3823, 4000, 4095, 4096} {
		data := period(40_000, distance)
		src := encode(t, data, dict)
		check(t, src, data, dict)
		if distance <= 33 {
			continue // the encoder takes multiples of them
		}
		var d Decoder
		if _, _, err := d.Decode(make([]byte, len(data)), src, distance); err != nil {
			t.Errorf("a dictionary of just %d: %v", distance, err)
		}
		got, _, err := stream(src, distance)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("Reader with a dictionary of just %d: %v", distance, err)
		}
		if _, _, err := d.Decode(make([]byte, len(data)), src, distance-1); !errors.Is(err, ErrFormat) {
			t.Errorf("a dictionary of %d for a distance of %d: %v", distance-1, distance, err)
		}
		if _, _, err := stream(src, distance-1); !errors.Is(err, ErrFormat) {
			t.Errorf("Reader with a dictionary of %d for a distance of %d: %v", distance-1, distance, err)
		}
	}
	for _, dict := range []int{4096, 5000, 65536, 1 << 20} {
		data := bytes.Repeat(mixed(), 2)
		check(t, encode(t, data, dict), data, dict)
	}
}

// Several blocks, each with its own dictionary, can follow each other in a stream.
func TestResets(t *testing.T) {
	var src, want []byte
	for _, data := range [][]byte{text(20_000), noise(3000), {}, text(50), make([]byte, 70_000), text(9000)} {
		packed := encode(t, data, 4096)
		src = append(src, packed[:len(packed)-1]...)
		want = append(want, data...)
	}
	check(t, append(src, 0), want, 4096)
}

func TestChunkRules(t *testing.T) {
	packed := encode(t, text(300), 4096) // a chunk of LZMA that resets all
	lzma := func(control byte) []byte {
		b := bytes.Clone(packed[:len(packed)-1])
		if b[0] != 0xe0 {
			t.Fatalf("the encoder begins with %#x", b[0])
		}
		b[0] = b[0]&0x1f | control
		if control < 0xc0 {
			b = append(b[:5], b[6:]...)
		}
		return b
	}
	props := func(lc, lp, pb int) []byte {
		b := bytes.Clone(packed)
		b[5] = byte((pb*5+lp)*9 + lc)
		return b
	}
	longer := func(unpacked, size int) []byte {
		b := bytes.Clone(packed[:len(packed)-1])
		b[2] += byte(unpacked)
		b[4] += byte(size)
		if size > 0 {
			b = append(b, make([]byte, size)...)
		}
		return append(b, 0)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	// The first bytes are such that LZMA behind them has the same contexts as at the beginning.
	plain, more, end := []byte{1, 0, 3, '\n', '\n', '\n', '\n'}, []byte{2, 0, 1, 'b', 'c'}, []byte{0}
	for _, test := range []struct {
		name, err string // no err: decodes
		src       []byte
	}{
		{"empty", "", end},
		{"plain", "", join(plain, more, plain, end)},
		{"plain and LZMA", "", join(plain, lzma(0xc0), more, end)},
		{"LZMA, state kept", "", join(packed[:len(packed)-1], more, end)},
		{"LZMA, new dictionary", "", join(lzma(0xe0), plain, lzma(0xe0), end)},
		{"no end", "cut short", join(plain, more)},
		{"nothing", "cut short", nil},
		{"chunk header cut", "cut short", []byte{1, 0}},
		{"LZMA chunk header cut", "cut short", packed[:5]},
		{"cut before the range coder", "cut short", packed[:8]},
		{"first chunk keeps the dictionary", "does not reset the dictionary", join(more, end)},
		{"first LZMA chunk keeps the dictionary", "does not reset the dictionary", join(lzma(0xc0), end)},
		{"first LZMA chunk keeps lc, lp and pb", "does not set lc, lp and pb", join(plain, lzma(0xa0), end)},
		{"LZMA keeps all behind plain bytes", "does not set lc, lp and pb", join(plain, lzma(0x80), end)},
		{"dictionary reset, lc, lp and pb kept", "does not set lc, lp and pb", join(lzma(0xe0), plain, lzma(0xa0), end)},
		{"unknown chunk", "byte 7: a chunk begins with 0x03", join(plain, []byte{3, 0, 0, 'x'}, end)},
		{"last unknown chunk", "a chunk begins with 0x7f", join(plain, []byte{0x7f, 0, 0, 'x'}, end)},
		{"lc+lp is 5", "can't be", props(3, 2, 0)},
		{"pb is 5", "can't be", props(0, 0, 5)},
		{"range coder begins with 1", "can't begin", append(append(bytes.Clone(packed[:6]), 1), packed[7:]...)},
		{"range coder begins too high", "can't begin", append(append(bytes.Clone(packed[:6]), 0, 255, 255, 255, 255), packed[11:]...)},
		{"chunk of four bytes", "an LZMA chunk of 4 bytes", []byte{0xe0, 0, 0, 0, 3, 93, 0, 0, 0, 0, 0}},
		{"chunk too long", "another number of bytes", longer(0, 1)},
		{"chunk too short", "another number of bytes", longer(0, -1)},
		{"one byte more", "LZMA2 byte", longer(1, 0)},
		{"one byte less", "LZMA2 byte", longer(-1, 0)},
	} {
		var d Decoder
		_, _, err := d.Decode(make([]byte, 2000), test.src, 4096)
		_, _, streamErr := stream(test.src, 4096)
		if fmt.Sprint(err) != fmt.Sprint(streamErr) {
			t.Errorf("%s: Decode says %v, Reader %v", test.name, err, streamErr)
		}
		switch {
		case test.err == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: %v, want %q", test.name, err, test.err)
		case err != nil && !errors.Is(err, ErrFormat):
			t.Errorf("%s: %v is no ErrFormat", test.name, err)
		case err != nil && errors.Is(err, io.ErrUnexpectedEOF) != (test.err == "cut short"):
			t.Errorf("%s: %v, io.ErrUnexpectedEOF is wrong", test.name, err)
		}
	}
}

// Decoding into a buffer that is there allocates nothing.
func TestAllocations(t *testing.T) {
	src := encode(t, text(10_000), 4096)
	d, dst := new(Decoder), make([]byte, 10_000)
	if n := testing.AllocsPerRun(10, func() { d.Decode(dst, src, 4096) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
