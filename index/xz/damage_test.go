// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

var checkNames = []string{"none", "crc32", "crc64", "sha256"}

// smallArchive has three blocks in two streams, and a few hundred bytes.
func smallArchive(t testing.TB, data []byte, check string) []byte {
	n := len(data) * 2 / 3
	return append(append(xzOf(t, data[:n], "-T1", "--check="+check, fmt.Sprintf("--block-size=%d", n/2)), 0, 0, 0, 0),
		xzOf(t, data[n:], "-T1", "--check="+check)...)
}

// decodeAll decodes every block by itself. It returns the first error.
func decodeAll(f *File) (blocks [][]byte, err error) {
	for i := range f.Blocks {
		b, e := io.ReadAll(io.LimitReader(f.BlockReader(i), 4<<20))
		if err == nil {
			err = e
		}
		blocks = append(blocks, b)
	}
	return blocks, err
}

func TestTruncated(t *testing.T) {
	for _, check := range checkNames {
		for kind, data := range map[string][]byte{"text": text(600), "noise": noise(150)} {
			packed := smallArchive(t, data, check)
			whole, err := Parse(packed)
			if err != nil {
				t.Fatal(err)
			}
			second := whole.Blocks[2].Offset - headerSize
			for n := 0; n < len(packed); n += stride() {
				got, err := decode(packed[:n])
				switch {
				case err != nil:
				case int64(n) == second || int64(n) == second-4: // the first stream, with and without padding
					if int64(len(got)) != whole.Blocks[2].Start || !bytes.HasPrefix(data, got) {
						t.Errorf("%s, %s: the first stream by itself decodes to other bytes", kind, check)
					}
				default:
					t.Errorf("%s, %s: cut to %d of %d bytes: no error", kind, check, n, len(packed))
				}
				if _, err := Scan(bytes.NewReader(packed[:n])); (err == nil) != (int64(n) >= second-4) {
					t.Errorf("%s, %s: cut to %d of %d bytes, Scan: %v", kind, check, n, len(packed), err)
				}
				checkSalvaged(t, whole, packed[:n], data)
			}
		}
	}
}

// checkSalvaged checks what Salvage finds in the beginning of a file: every whole
// block, and the beginning of the block in which the file is cut.
func checkSalvaged(t *testing.T, whole *File, cut, data []byte) {
	t.Helper()
	f := Salvage(cut)
	blocks, _ := decodeAll(f)
	for i, b := range blocks {
		want := whole.Blocks[i]
		if f.Blocks[i].Start != want.Start || !bytes.HasPrefix(data[want.Start:][:want.Length], b) {
			t.Errorf("cut to %d bytes: salvaged block %d has other bytes", len(cut), i)
		}
	}
	for i, b := range whole.Blocks {
		if b.Offset+b.Size <= int64(len(cut)) && (i >= len(blocks) || int64(len(blocks[i])) != b.Length) {
			t.Errorf("cut to %d bytes: block %d is whole, but not salvaged", len(cut), i)
		}
	}
}

func TestFlipped(t *testing.T) {
	for _, check := range checkNames {
		for kind, data := range map[string][]byte{"text": text(600), "noise": noise(150)} {
			t.Run(kind+", "+check, func(t *testing.T) {
				t.Parallel()
				flipEach(t, smallArchive(t, data, check), data, check != "none")
			})
		}
	}
}

// flipEach decodes an archive of data once for each byte, with that byte changed.
func flipEach(t *testing.T, packed, data []byte, checked bool) {
	for at := 0; at < len(packed); at += stride() {
		for _, flip := range []byte{0x01, 0xff} {
			bad := bytes.Clone(packed)
			bad[at] ^= flip
			got, err := decode(bad)
			if err == nil && checked && !bytes.Equal(got, data) {
				t.Errorf("byte %d ^ %#02x: other bytes, no error", at, flip)
			}
			if size, err := Scan(bytes.NewReader(bad)); err == nil && size > int64(len(bad)) {
				t.Errorf("byte %d ^ %#02x: Scan returns %d for %d bytes", at, flip, size, len(bad))
			}
			blocks, err := decodeAll(Salvage(bad))
			if got := bytes.Join(blocks, nil); err == nil && checked && !bytes.HasPrefix(data, got) {
				t.Errorf("byte %d ^ %#02x: salvaged other bytes, no error", at, flip)
			}
		}
	}
}

func TestBlockErrors(t *testing.T) {
	data := text(9000)
	for _, check := range checkNames[1:] {
		packed := xzOf(t, data, "-T1", "--block-size=1000", "--check="+check)
		f, err := Parse(packed)
		if err != nil {
			t.Fatal(err)
		}
		for bad, b := range f.Blocks {
			for _, where := range []struct {
				at   int64
				want string
			}{
				{b.Offset + 5, "checksum of the block header does not match"},
				{b.Offset + b.Size - 1, f.Streams[0].String() + " check does not match"},
				{b.Offset + b.Size/2, ""},
			} {
				f.data[where.at] ^= 0x10
				for i := range f.Blocks {
					got, err := io.ReadAll(f.BlockReader(i))
					var blockError *BlockError
					switch {
					case i != bad:
						if err != nil || !bytes.Equal(got, data[i*1000:][:1000]) {
							t.Errorf("block %d is damaged, block %d can't be read: %v", bad, i, err)
						}
					case !errors.As(err, &blockError) || blockError.Block != bad || blockError.Blocks != 9:
						t.Errorf("block %d is damaged: got %v", bad, err)
					case !strings.HasPrefix(err.Error(), fmt.Sprintf("xz block %d of 9: ", bad+1)) || !strings.HasSuffix(err.Error(), where.want):
						t.Errorf("block %d is damaged: got %v, want %s", bad, err, where.want)
					case !errors.Is(err, ErrFormat):
						t.Errorf("%v is not ErrFormat", err)
					}
				}
				r := f.Reader()
				got, err := io.ReadAll(r)
				if len(got) < bad*1000 || !bytes.Equal(got[:bad*1000], data[:bad*1000]) {
					t.Errorf("block %d is damaged: Reader returns only %d bytes before it", bad, len(got))
				}
				if n, again := r.Read(make([]byte, 1)); n != 0 || !errors.Is(again, err) {
					t.Errorf("reading after %v: %d, %v", err, n, again)
				}
				f.data[where.at] ^= 0x10
			}
		}
	}
}

// Blocks can be decoded in any order, and several at once.
func TestParallel(t *testing.T) {
	data := text(20_000)
	f, err := Parse(xzOf(t, data, "-T1", "--block-size=1000"))
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := range f.Blocks {
				i = (i*7 + g*3) % len(f.Blocks)
				b := f.Blocks[i]
				got, err := io.ReadAll(f.BlockReader(i))
				if err != nil || !bytes.Equal(got, data[b.Start:][:b.Length]) {
					t.Errorf("block %d: %v", i, err)
				}
			}
			if got, err := io.ReadAll(f.Reader()); err != nil || !bytes.Equal(got, data) {
				t.Errorf("all blocks: %v", err)
			}
		})
	}
	wait.Wait()
}
