// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"fmt"
	"io"
	"sort"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/blocks"
	"github.com/kheadersfs/kheadersfs/index/table"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/tests/need"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// benchArchive is 8 MB in 1,600 files, packed as a kernel's headers are: in one block.
func benchArchive(b *testing.B) (packed []byte, unpacked int) {
	b.Helper()
	var members []tartest.Member
	for i := range 1600 {
		members = append(members, tartest.File(fmt.Sprintf("./include/%d/%d.h", i%40, i), tartest.Text(uint64(i%100), 1000+i*5)))
	}
	tarBytes := tartest.Tar(b, members...)
	return need.Filter(b, tarBytes, "xz", "-c", "-T1"), len(tarBytes)
}

func BenchmarkDecode(b *testing.B) {
	packed, n := benchArchive(b)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := openBytes(packed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	packed, n := benchArchive(b)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		if err := Verify(inMemory{bytes.NewReader(packed), packed}, int64(len(packed))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	packed, _ := benchArchive(b)
	tree, err := openBytes(packed)
	must(b, err)
	for _, path := range []string{"include/39/1599.h", "include/39/absent.h"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tree.Find(path)
			}
		})
	}
}

func BenchmarkReadAt(b *testing.B) {
	packed, _ := benchArchive(b)
	tree, err := openBytes(packed)
	must(b, err)
	var ids []ID // each in another block
	seen := map[int64]bool{}
	for id := range ID(tree.Len()) {
		block := tree.Offset(id) / blocks.MemoryBlock
		if e := tree.Entry(id); e.IsFile() && e.Size >= 4096 && !seen[block] {
			seen[block] = true
			ids = append(ids, id)
		}
	}
	benchReads(b, tree, ids, 4096)
}

// benchPacked is 8 MB in 1,600 files and an index, in blocks of 40 files.
func benchPacked(b *testing.B) []byte {
	b.Helper()
	var groups [][]tartest.Member
	for g := range 40 {
		var group []tartest.Member
		for i := range 40 {
			group = append(group, tartest.File(fmt.Sprintf("./include/%d/%d.h", g, i), tartest.Text(uint64(i), 1000+(g*40+i)*5)))
		}
		groups = append(groups, group)
	}
	return packedOf(b, nil, append(groups, []tartest.Member{tartest.File("./include/last.h", tartest.Text(1, 1000))})...)
}

func BenchmarkOpenPacked(b *testing.B) {
	packed := benchPacked(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := openBytes(packed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeIndex(b *testing.B) {
	packed := benchPacked(b)
	f, err := xz.Parse(packed)
	must(b, err)
	last, err := decodeBlock(f, len(f.Blocks)-1, nil)
	must(b, err)
	index, err := comment(last)
	must(b, err)
	b.SetBytes(int64(len(index)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := table.Decode(index, f.Unpacked()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadAtPacked(b *testing.B) {
	tree, err := openBytes(benchPacked(b))
	must(b, err)
	var ids []ID // each in another block
	for g := range 40 {
		id, ok := tree.Find(fmt.Sprintf("include/%d/39.h", g))
		if !ok {
			b.Fatal("a file does not exist")
		}
		ids = append(ids, id)
	}
	benchReads(b, tree, ids, 1000)
}

// benchCacheFile returns the cache file of benchArchive's tree.
func benchCacheFile(b *testing.B) []byte {
	b.Helper()
	packed, _ := benchArchive(b)
	tree, err := openBytes(packed)
	must(b, err)
	return written(b, tree)
}

func BenchmarkWrite(b *testing.B) {
	packed, n := benchArchive(b)
	tree, err := openBytes(packed)
	must(b, err)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		must(b, tree.Write(io.Discard))
	}
}

func BenchmarkOpenCacheFile(b *testing.B) {
	file := benchCacheFile(b)
	b.ReportAllocs()
	for b.Loop() {
		opened(b, file)
	}
}

func BenchmarkReadAtCacheFile(b *testing.B) {
	tree := opened(b, benchCacheFile(b))
	r := tree.row.Load()
	var ids []ID // each in another block
	seen := map[int]bool{}
	for id := range ID(tree.Len()) {
		block := sort.Search(len(r.Blocks()), func(i int) bool { return r.Blocks()[i].Start > r.table.Offset(id) })
		if e := tree.Entry(id); e.Size >= 4096 && !seen[block] {
			seen[block] = true
			ids = append(ids, id)
		}
	}
	benchReads(b, tree, ids, 4096)
}

// benchReads reads the first bytes of the first file again and again, and of all,
// one after the other.
func benchReads(b *testing.B, tree *Tree, ids []ID, size int) {
	for _, test := range []struct {
		name string
		ids  []ID
	}{{"warm", ids[:1]}, {"cold", ids}} {
		b.Run(test.name, func(b *testing.B) {
			p := make([]byte, size)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := tree.ReadAt(test.ids[i%len(test.ids)], p, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
