// SPDX-License-Identifier: Apache-2.0

package blocks

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// A file of a row.
type file struct {
	off  int64
	data string
}

// rowOf makes a row in memory of files of the given sizes.
func rowOf(t testing.TB, sizes ...int) (m *Memory, r *Reader, files []file) {
	t.Helper()
	m = NewMemory()
	for i, n := range sizes {
		f := file{data: tartest.Text(uint64(i), n)}
		var err error
		if f.off, err = m.Begin(int64(n)); err != nil {
			t.Fatal(err)
		}
		if got, err := m.ReadFrom(iotest.HalfReader(strings.NewReader(f.data))); err != nil || got != int64(n) {
			t.Fatalf("%d of %d bytes: %v", got, n, err)
		}
		files = append(files, f)
	}
	return m, m.Reader(), files
}

var sizes = []int{0, 1, 511, 512, MemoryBlock - 1, MemoryBlock, MemoryBlock + 1, 2 * MemoryBlock, 3*MemoryBlock + 7, 5000, 0, 100}

// check: nobody uses a block any more, no more blocks are kept than may be, and no
// buffer lies in two places.
func check(t *testing.T, r *Reader) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) > r.keep || len(r.spare) > r.keep {
		t.Errorf("%d blocks and %d buffers are kept", len(r.kept), len(r.spare))
	}
	seen := map[*byte]bool{}
	see := func(b []byte) {
		if at := &b[:1][0]; seen[at] {
			t.Error("a buffer lies in two places")
		} else {
			seen[at] = true
		}
	}
	for _, d := range r.kept {
		if d.users != 1 || d.err != nil {
			t.Errorf("block %d has %d users (%v)", d.block, d.users, d.err)
		}
		see(d.data)
	}
	for _, b := range r.spare {
		see(b)
	}
}

// A row is an io.ReaderAt of the bytes of all files.
func TestReader(t *testing.T) {
	_, r, files := rowOf(t, append(sizes, sizes...)...)
	var all []byte
	for _, f := range files {
		all = append(all, f.data...)
		p := make([]byte, len(f.data))
		if _, err := r.ReadAt(p, f.off); err != nil || string(p) != f.data {
			t.Errorf("%d bytes at %d: other bytes (%v)", len(f.data), f.off, err)
		}
	}
	if r.Size() != int64(len(all)) {
		t.Errorf("the row has %d bytes instead of %d", r.Size(), len(all))
	}
	if err := iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), all); err != nil {
		t.Error(err)
	}
	for _, test := range []struct {
		off  int64
		n    int
		want int
	}{{r.Size(), 1, 0}, {r.Size() - 1, 2, 1}, {r.Size() + 1<<40, 1, 0}, {-1, 1, 0}} {
		if n, err := r.ReadAt(make([]byte, test.n), test.off); n != test.want || err != io.EOF {
			t.Errorf("%d bytes at %d: %d, %v", test.n, test.off, n, err)
		}
	}
	check(t, r)
}

// Blocks are cut between files; one that is larger than a block begins one.
func TestMemoryCuts(t *testing.T) {
	_, r, files := rowOf(t, append(sizes, sizes...)...)
	for _, f := range files {
		var in []int
		for i, b := range r.Blocks() {
			if b.Size > MemoryBlock || b.Size == 0 {
				t.Errorf("block %d has %d bytes", i, b.Size)
			}
			if len(f.data) > 0 && f.off < b.Start+int64(b.Size) && f.off+int64(len(f.data)) > b.Start {
				in = append(in, i)
			}
		}
		if want := (len(f.data) + MemoryBlock - 1) / MemoryBlock; len(in) != want {
			t.Errorf("a file of %d bytes lies in blocks %v", len(f.data), in)
		}
	}
}

func TestMaxRow(t *testing.T) {
	m := NewMemory()
	if _, err := m.Begin(MaxRow); err != nil {
		t.Error(err)
	}
	for _, n := range []int64{MaxRow + 1, 1 << 62} {
		if _, err := m.Begin(n); err == nil || err.Error() != "unpacked size exceeds 1 GiB" {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// An error of what a file is read from is passed on.
func TestReadFromFails(t *testing.T) {
	oops := errors.New("oops")
	m := NewMemory()
	if _, err := m.ReadFrom(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(oops))); !errors.Is(err, oops) {
		t.Error(err)
	}
}

// Many readers at once of more blocks than are kept.
func TestReadInParallel(t *testing.T) {
	const n = 3 * memoryKeep / MemoryBlock
	all := make([]int, n)
	for i := range all {
		all[i] = MemoryBlock - i // a block each
	}
	_, r, files := rowOf(t, all...)
	if len(r.Blocks()) != n {
		t.Fatalf("%d blocks", len(r.Blocks()))
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			p := make([]byte, 10_000)
			for i := range 300 {
				f := files[(i*7+g*i)%n]
				off := (i * 997) % (len(f.data) - len(p))
				if _, err := r.ReadAt(p, f.off+int64(off)); err != nil || string(p) != f.data[off:][:len(p)] {
					t.Errorf("%d bytes at %d: other bytes (%v)", len(p), off, err)
				}
			}
		})
	}
	wait.Wait()
	check(t, r)
}

// A block that is damaged later takes its own files with it, and no others, and only
// for as long as it is damaged.
func TestDamageLater(t *testing.T) {
	m, r, files := rowOf(t, append(sizes, sizes...)...)
	hit := func(f file, b Block) bool {
		return len(f.data) > 0 && f.off < b.Start+int64(b.Size) && f.off+int64(len(f.data)) > b.Start
	}
	read := func(f file) (string, error) {
		p := make([]byte, len(f.data))
		_, err := r.ReadAt(p, f.off)
		return string(p), err
	}
	for i, b := range r.Blocks() {
		whole := m.encoded[i]
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 0x10
		next := (i + 1) % len(m.encoded)
		for kind, bad := range map[string][]byte{"cut": whole[:len(whole)-1], "flipped": flipped, "nothing": whole[:crc32.Size], "another": m.encoded[next]} {
			if kind == "another" && r.Blocks()[next].Size == b.Size {
				continue // a good block, if not the right one
			}
			r.drop()
			m.encoded[i] = bad
			var damage *Error
			if err := r.Check(i); !errors.As(err, &damage) || damage.Block != i {
				t.Errorf("block %d %s: check: %v", i, kind, err)
			}
			for _, f := range files {
				got, err := read(f)
				switch {
				case !hit(f, b):
					if err != nil || got != f.data {
						t.Errorf("block %d %s: the file at %d can't be read: %v", i, kind, f.off, err)
					}
				case !errors.As(err, &damage) || damage.Block != i || !strings.HasPrefix(err.Error(), fmt.Sprintf("block %d of %d: ", i+1, len(r.Blocks()))):
					t.Errorf("block %d %s: reading the file at %d: %v", i, kind, f.off, err)
				}
			}
			m.encoded[i] = whole
			for _, f := range files {
				if got, err := read(f); err != nil || got != f.data {
					t.Errorf("block %d is whole again, and the file at %d is not", i, f.off)
				}
			}
		}
	}
	check(t, r)
}

// All who wait for a damaged block get the error.
func TestDamageInParallel(t *testing.T) {
	m, r, files := rowOf(t, sizes...)
	for i := range m.encoded {
		m.encoded[i] = m.encoded[i][:crc32.Size]
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range 200 {
				f := files[i%len(files)]
				if f.data == "" {
					continue
				}
				var damage *Error
				if n, err := r.ReadAt(make([]byte, 10), f.off); n != 0 || !errors.As(err, &damage) {
					t.Errorf("%d, %v", n, err)
				}
			}
		})
	}
	wait.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) > 0 {
		t.Errorf("%d damaged blocks are kept", len(r.kept))
	}
}

// Blocks are decoded once while they are kept. Where they are read in order, one may be
// decoded ahead so late that it was read and dropped meanwhile.
func TestDecodes(t *testing.T) {
	const n = 20
	row := make([]Block, n)
	for i := range row {
		row[i] = Block{Start: int64(i) * 10, Size: 10}
	}
	for _, ahead := range []bool{false, true} {
		var mu sync.Mutex
		counts := make([]int, n)
		r := NewReader("block", row, 0, func(i int, buf []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			counts[i]++
			return append(buf, bytes.Repeat([]byte{byte(i)}, 10)...), nil
		})
		if ahead {
			r.DecodeAhead()
		}
		p := make([]byte, 5)
		for off := int64(0); off < n*10; off += 5 {
			if _, err := r.ReadAt(p, off); err != nil || p[0] != byte(off/10) || p[4] != byte(off/10) {
				t.Fatalf("at %d: %v, %v", off, p, err)
			}
		}
		mu.Lock()
		for i, c := range counts {
			if c != 1 && !(ahead && c == 2) {
				t.Errorf("ahead %v: block %d is decoded %d times", ahead, i, c)
			}
		}
		mu.Unlock()
	}
}

// A block that decodes to another number of bytes is damaged.
func TestWrongSize(t *testing.T) {
	for _, n := range []int{9, 11, 0} {
		r := NewReader("frame", []Block{{0, 10}}, 0, func(int, []byte) ([]byte, error) { return make([]byte, n), nil })
		want := fmt.Sprintf("frame 1 of 1: decodes to %d bytes instead of 10", n)
		if _, err := r.ReadAt(make([]byte, 10), 0); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
