// SPDX-License-Identifier: Apache-2.0

package lzma2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// xz packs data by the xz command.
func xz(t testing.TB, data []byte, options string) []byte {
	t.Helper()
	return need.Filter(t, data, "xz", "-c", "-q", "--format=raw", "--lzma2="+options)
}

func TestCommand(t *testing.T) {
	options := []string{"dict=4KiB", "dict=6KiB", "dict=96KiB", "dict=4KiB,nice=273,mf=bt4", "mode=fast,mf=hc3", "dict=64KiB,lc=0,lp=4,pb=4"}
	for _, preset := range []string{"0", "1", "3", "6", "9", "0e", "9e"} {
		options = append(options, "preset="+preset)
	}
	for lc := range 5 {
		for lp := range 5 - lc {
			options = append(options, fmt.Sprintf("preset=1,lc=%d,lp=%d,pb=%d", lc, lp, (lc+2*lp)%5))
		}
	}
	for _, options := range options {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			dict := 64 << 20
			switch {
			case strings.Contains(options, "dict=4KiB"):
				dict = 4 << 10
			case strings.Contains(options, "dict=6KiB"):
				dict = 6 << 10
			case strings.Contains(options, "dict=64KiB"):
				dict = 64 << 10
			case strings.Contains(options, "dict=96KiB"):
				dict = 96 << 10
			}
			for _, data := range [][]byte{nil, {0}, text(100_000), mixed(), period(20_000, 4096)} {
				check(t, xz(t, data, options), data, min(dict, max(len(data), 1)))
			}
		})
	}
}

// compare decodes src, damaged or not, in all ways, and compares the results. Where
// ulikunitz/xz returns an error, so must we.
func compare(t *testing.T, src []byte, dict int) (data []byte, err error) {
	t.Helper()
	const most = 1 << 20
	var d Decoder
	dst := make([]byte, most)
	n, used, err := d.Decode(dst, src, dict)
	if err != nil && !errors.Is(err, ErrFormat) {
		t.Errorf("%v is no ErrFormat", err)
	}
	if err != nil && strings.Contains(err.Error(), "more than") {
		return dst[:n], err
	}
	streamed, unused, streamErr := stream(src, dict)
	if fmt.Sprint(err) != fmt.Sprint(streamErr) {
		t.Fatalf("Decode says %v, Reader %v", err, streamErr)
	}
	if !bytes.Equal(dst[:n], streamed) {
		t.Fatalf("Decode decodes to %d bytes, Reader to %d", n, len(streamed))
	}
	if err != nil {
		return dst[:n], err
	}
	if unused != len(src)-used {
		t.Errorf("Decode leaves %d bytes over, Reader %d", len(src)-used, unused)
	}
	want, oracleErr := oracle(src[:used], dict)
	if oracleErr != nil {
		t.Errorf("decodes to %d bytes; ulikunitz/xz says %v", n, oracleErr)
	} else if !bytes.Equal(dst[:n], want) {
		t.Error("ulikunitz/xz decodes to other bytes")
	}
	return dst[:n], nil
}

func small(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"text": encode(t, text(1500), 4096),
		"more": encode(t, bytes.Join([][]byte{noise(60), text(300), make([]byte, 900), noise(60), period(600, 41)}, nil), 4096),
		"rows": append([]byte{1, 0, 2, 'a', 'b', 'c', 2, 0, 0, 'd'}, encode(t, text(200), 4096)...),
	}
}

func TestTruncation(t *testing.T) {
	for name, src := range small(t) {
		whole, err := compare(t, src, 4096)
		if err != nil {
			t.Fatal(err)
		}
		for n := range src {
			data, err := compare(t, src[:n], 4096)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, %d of %d bytes: %v", name, n, len(src), err)
			}
			if !bytes.HasPrefix(whole, data) {
				t.Errorf("%s, %d of %d bytes: decodes to others than the first bytes", name, n, len(src))
			}
			if n == len(src)-1 && len(data) != len(whole) {
				t.Errorf("%s: without the end marker, only %d of %d bytes are decoded", name, len(data), len(whole))
			}
		}
	}
}

func TestFlips(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 11
	}
	for name, src := range small(t) {
		for i := 0; i < len(src); i += stride {
			for _, flip := range []byte{1, 2, 0x20, 0x80, 0xff} {
				b := bytes.Clone(src)
				b[i] ^= flip
				if _, err := compare(t, b, 4096); err == nil && !t.Failed() {
					continue
				}
				if t.Failed() {
					t.Fatalf("%s, byte %d ^ %#x", name, i, flip)
				}
			}
		}
	}
}

// FuzzDecode: no bytes make a decoder panic, or the two ways of decoding
// disagree, or a stream be taken that ulikunitz/xz refuses or takes for another.
func FuzzDecode(f *testing.F) {
	for _, src := range small(f) {
		f.Add(src, uint16(4096))
	}
	f.Add(encode(f, mixed(), 1<<16), uint16(1<<16-1))
	f.Add(encode(f, period(30_000, 4000), 4096), uint16(4000))
	f.Add(encode(f, make([]byte, 30_000), 4096), uint16(1))
	f.Fuzz(func(t *testing.T, src []byte, dict uint16) {
		compare(t, src, int(dict))
	})
}

func BenchmarkDecode(b *testing.B) {
	data := text(4 << 20)
	src := encode(b, data, 1<<20)
	b.Run("buffer", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		d, dst := new(Decoder), make([]byte, len(data))
		for b.Loop() {
			if _, _, err := d.Decode(dst, src, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if n, err := io.Copy(io.Discard, NewReader(src, 1<<20)); err != nil || n != int64(len(data)) {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("ulikunitz", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := oracle(src, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
}
