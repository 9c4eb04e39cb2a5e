// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/tests/need"
)

// sized is a layout of files with the given sizes, in the order of their names.
func sized(sizes ...int) layout {
	l := layout{}
	for i, n := range sizes {
		l[fmt.Sprintf("arch/x86/include/%04d.h", i)] = lines(i, n)
	}
	return l
}

// lines returns n bytes that xz compresses quickly, without a comment. Each seed gives
// other bytes.
func lines(seed, n int) string {
	line := fmt.Sprintf("line of %08d\n", seed)
	return strings.Repeat(line, n/len(line)+1)[:n]
}

func repeated(n, times int) (all []int) {
	for range times {
		all = append(all, n)
	}
	return all
}

// TestBlocks checks where blocks are cut, for sizes of files around that of a block,
// and what tar extracts from each archive.
func TestBlocks(t *testing.T) {
	const k = 4096
	long := strings.Repeat("n", 120) // needs extended headers
	grid := layout{}
	for i := range 40 {
		grid[fmt.Sprintf("arch/x86/include/%04d.h", i)] = lines(i, k-3*512+i*64)
	}
	for _, test := range []struct {
		name   string
		layout layout
	}{
		{"one file", sized(1)},
		{"one empty file", sized(0)},
		{"empty files", sized(repeated(0, 50)...)},
		{"many tiny files", sized(repeated(1, 300)...)},
		{"files that fill a block with their header", sized(repeated(k-512, 5)...)},
		{"one byte less", sized(repeated(k-513, 5)...)},
		{"one byte more", sized(repeated(k-511, 5)...)},
		{"files of a block", sized(repeated(k, 5)...)},
		{"blocks that two files fill", sized(repeated(k/2-512, 8)...)},
		{"small, large, small", sized(10, 3*k, 10, 3*k-512, 10, 3*k-511, 10, 3*k+1, 10)},
		{"the last is large", sized(10, 10, 100_000)},
		{"only one, and it is large", sized(100_000)},
		{"only large ones", sized(2<<20, 2<<20)},
		{"the last ones are empty", sized(10_000, 10, 0, 0)},
		{"sizes around that of a block", grid},
		{"long names", layout{"arch/x86/include/" + long + "1.h": lines(1, k-512-100), "arch/x86/include/" + long + "2.h": lines(2, k-1536),
			"arch/x86/include/" + long + "3.h": lines(3, k-1535), "arch/x86/include/" + long + "4.h": "", "arch/x86/include/" + long + "5.h": "x"}},
		{"long names that fill blocks with others", merge(sized(1000, 1000, 1000, 1000, 1000), layout{"arch/x86/include/0000" + long + ".h": lines(1, 1200),
			"arch/x86/include/0001" + long + ".h": lines(1, 1200), "arch/x86/include/0003é.h": lines(2, 2000)})},
		{"a long link", layout{"arch/x86/include/a.h": "->" + strings.Repeat("./", 100) + "b.h", "arch/x86/include/b.h": "b"}},
		{"only links that lead nowhere", layout{"arch/x86/include/a.h": "->b.h"}},
		{"directories that fill blocks", func() layout {
			l := layout{"arch/x86/include/a.h": ""}
			for i := range 30 {
				l[fmt.Sprintf("include/%d/%d/a.h", i, i)] = lines(i, i*100)
			}
			return l
		}()},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := test.layout.make(t)
			for _, size := range []int{k, 5000, 0} {
				archive := packed(t, dir, Options{BlockSize: size})
				if size == 0 {
					size = DefaultBlockSize
				}
				checkBlocks(t, archive, size)
				compare(t, contents(t, open(t, archive)), test.layout)
				if size != 5000 {
					continue
				}
				out := t.TempDir()
				unpack(t, archive, "tar", "-C", out, "-xJf", "-")
				if msg, err := exec.Command("diff", "-r", "--no-dereference", dir, out).CombinedOutput(); err != nil {
					t.Errorf("tar extracts another tree: %v\n%.500s", err, msg)
				}
			}
		})
	}
}

// checkBlocks checks that a file lies in one block, and one that is larger than a
// block in several, at the beginning of the first; and that the index lies in front
// of the last member.
func checkBlocks(t *testing.T, archive []byte, size int) {
	t.Helper()
	f, err := xz.Parse(archive)
	must(t, err)
	if len(f.Streams) != 1 || f.Streams[0] != xz.CheckCRC64 {
		t.Errorf("streams with the checks %v", f.Streams)
	}
	for i, b := range f.Blocks[:len(f.Blocks)-1] {
		if b.Length > int64(size) || b.Length == 0 {
			t.Errorf("blocks of %d: block %d of %d has %d bytes", size, i, len(f.Blocks), b.Length)
		}
	}
	last := f.Blocks[len(f.Blocks)-1]
	all := places(t, unpack(t, archive, "xz", "-dc"))
	n := len(all)
	if n < 2 || all[n-2].header.Typeflag != 'g' || all[n-2].start != last.Start {
		t.Fatalf("blocks of %d: the last one, at %d, doesn't begin with the index", size, last.Start)
	}
	files := false
	before := map[int64]int64{} // sizes of the blocks in front of an offset
	for _, b := range f.Blocks[:len(f.Blocks)-1] {
		before[b.Start+b.Length] = b.Length
	}
	for i, p := range all {
		if p.header.Typeflag == 'g' && i != n-2 {
			t.Errorf("member %d is a global header", i)
		}
		isDir := p.header.Typeflag == '5'
		if isDir && files {
			t.Errorf("%s comes after files", p.header.Name)
		}
		files = files || !isDir
		var in []xz.Block
		for _, b := range f.Blocks {
			if b.Start < p.end && p.start < b.Start+b.Length {
				in = append(in, b)
			}
		}
		padded := (p.end+511)&^511 - p.start
		fits := padded <= int64(size)
		if p.start >= last.Start {
			fits = true
		} else if n := before[p.start]; n > 0 && n+padded <= int64(size) {
			t.Errorf("blocks of %d: %.40s would have had room in one of %d", size, p.header.Name, n)
		}
		if fits && len(in) != 1 || !fits && in[0].Start != p.start {
			t.Errorf("blocks of %d: %.40s, %d to %d, lies in %d, the first from %d on", size, p.header.Name, p.start, p.end, len(in), in[0].Start)
		}
	}
}

// The last block is decoded to open the archive: where there is a choice, a
// small file shares it with the index.
func TestLastIsSmall(t *testing.T) {
	for _, test := range []struct {
		sizes []int
		most  int64
	}{
		{[]int{10, 300_000, 2 << 20}, 16 << 10},
		{[]int{2 << 20, 10, 2 << 20, 2 << 20}, 16 << 10},
		{[]int{300_000, 600_000, 2 << 20}, 320_000},
	} {
		f, err := xz.Parse(packed(t, sized(test.sizes...).make(t), Options{}))
		must(t, err)
		if n := f.Blocks[len(f.Blocks)-1].Length; n > test.most {
			t.Errorf("files of %d: the last block has %d bytes", test.sizes, n)
		}
	}
}

// An index that is too large for readers of tar is refused.
func TestTooManyFiles(t *testing.T) {
	tr := &tree{members: map[string]*member{}, arch: "x86"}
	for i := range 25_000 {
		name := fmt.Sprintf("include/%d.h", i)
		tr.members[name] = &member{name: name, mtime: then, read: func() ([]byte, error) { return nil, nil }}
	}
	b := newBuilder(DefaultBlockSize)
	if err := b.build(tr, Options{}); err == nil || !strings.Contains(err.Error(), "index of 25002 entries exceeds 1048512 bytes") {
		t.Errorf("got %v", err)
	}
}

// A path that is too long is an error.
func TestNameTooLong(t *testing.T) {
	tr := &tree{members: map[string]*member{}, arch: "x86"}
	name := strings.Repeat(strings.Repeat("d", 200)+"/", 21) + "a.h"
	tr.members[name] = &member{name: name, mtime: then, read: func() ([]byte, error) { return nil, nil }}
	b := newBuilder(DefaultBlockSize)
	if err := b.build(tr, Options{}); err == nil || !strings.HasSuffix(err.Error(), "path exceeds 4095 bytes") {
		t.Errorf("got %v", err)
	}
}

// The same tree makes the same bytes, however many jobs there are and whatever
// the environment says to xz.
func TestDeterministic(t *testing.T) {
	dir := merge(allHeaders, sized(10, 30_000, 0, 100, 5000, 5000, 5000)).make(t)
	want := packed(t, dir, Options{BlockSize: 8192, Jobs: 1})
	for range 2 {
		for _, jobs := range []int{0, 1, 2, 8} {
			if got := packed(t, dir, Options{BlockSize: 8192, Jobs: jobs}); !bytes.Equal(got, want) {
				t.Errorf("%d jobs: other bytes", jobs)
			}
		}
		for _, name := range []string{"XZ_OPT", "XZ_DEFAULTS"} {
			t.Setenv(name, "-0 --check=none --delta=dist=4")
		}
		t.Setenv("TZ", "Pacific/Auckland")
		t.Setenv("SOURCE_DATE_EPOCH", "1") // the command's to read
	}
	// From a copy elsewhere, whose files were made in another order.
	other := filepath.Join(t.TempDir(), "other")
	must(t, exec.Command("cp", "-a", dir, other).Run())
	if !bytes.Equal(packed(t, other, Options{BlockSize: 8192}), want) {
		t.Error("a copy makes other bytes")
	}
	if bytes.Equal(packed(t, dir, Options{}), want) {
		t.Error("the block size changes nothing")
	}
}

func TestKeepComments(t *testing.T) {
	l := layout{"arch/x86/include/a.h": "/* SPDX a */ /* b */ c"}
	dir := l.make(t)
	compare(t, contents(t, open(t, packed(t, dir, Options{KeepComments: true}))), l)
	compare(t, contents(t, open(t, packed(t, dir, Options{}))), layout{"arch/x86/include/a.h": "/* SPDX a */  c"})
}

func TestProgress(t *testing.T) {
	dir := sized(100_000, 100_000).make(t)
	var last, all int64
	packed(t, dir, Options{Progress: func(done, total int64) {
		if done < last || done > total || all != 0 && total != all {
			t.Errorf("%d of %d, behind %d of %d", done, total, last, all)
		}
		last, all = done, total
	}})
	if all < 200_000 || last != all {
		t.Errorf("at the end %d of %d", last, all)
	}
}

// Without xz, or with one that fails, there is an error that says so.
func TestXZFails(t *testing.T) {
	need.Command(t, "xz")
	dir := allHeaders.make(t)
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	if err := packError(t, dir, Options{}); !errors.Is(err, exec.ErrNotFound) || !strings.HasPrefix(err.Error(), "xz: ") {
		t.Errorf("without xz: %v", err)
	}
	if v, err := Encoder(t.Context()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("without xz: %q, %v", v, err)
	}
	must(t, os.WriteFile(filepath.Join(bin, "xz"), []byte("#!/bin/sh\necho oops >&2\nexit 3\n"), 0o755))
	if err := packError(t, dir, Options{}); err.Error() != "xz: exit status 3: oops" {
		t.Errorf("a failing xz: %v", err)
	}
	if v, err := Encoder(t.Context()); err == nil {
		t.Errorf("a failing xz: %q", v)
	}
}

func TestEncoder(t *testing.T) {
	need.Command(t, "xz")
	if v, err := Encoder(t.Context()); err != nil || !strings.HasPrefix(v, "xz ") || strings.ContainsAny(v, "\n\r") {
		t.Errorf("%q, %v", v, err)
	}
}

// Pack returns the error of its writer.
func TestWriteError(t *testing.T) {
	need.Command(t, "xz")
	oops := errors.New("oops")
	if err := Pack(t.Context(), errWriter{oops}, allHeaders.make(t), Options{}); !errors.Is(err, oops) {
		t.Errorf("got %v", err)
	}
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }

// Cancelled before xz starts or while it reads, Pack ends without the rest, and says
// why.
func TestCancelled(t *testing.T) {
	need.Command(t, "xz")
	dir := sized(6<<20, 6<<20).make(t)
	for _, before := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if before {
			cancel()
		}
		var read, size int64
		err := Pack(ctx, io.Discard, dir, Options{Progress: func(done, total int64) {
			read, size = done, total
			cancel()
		}})
		if !errors.Is(err, context.Canceled) || before && read > 0 || !before && (read == 0 || read == size) {
			t.Errorf("cancelled before: %v; read %d of %d bytes: %v", before, read, size, err)
		}
	}
}

// A stock archive is packed to the same tar for ever; its .xz depends on the encoder.
func TestGolden(t *testing.T) {
	need.Command(t, "xz")
	want, err := os.ReadFile("../../index/testdata/packed.tar.xz")
	must(t, err)
	got := packed(t, "../../index/testdata/stock.tar.xz", Options{BlockSize: 65536})
	if !bytes.Equal(need.Filter(t, got, "xz", "-dc"), need.Filter(t, want, "xz", "-dc")) {
		t.Error("packed it is another tar")
	}
	layout := func(b []byte) *xz.File {
		f, err := xz.Parse(b)
		must(t, err)
		return f
	}
	if got, want := layout(got), layout(want); !slices.EqualFunc(got.Blocks, want.Blocks, func(a, b xz.Block) bool { return a.Start == b.Start && a.Length == b.Length }) {
		t.Errorf("blocks %v, want %v", got.Blocks, want.Blocks)
	}
}
