// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/table/tabletest"
	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// seeds returns tars with members of all kinds.
func seeds(f *testing.F) [][]byte {
	long := string(bytes.Repeat([]byte("long/"), 25))
	all := [][]byte{
		tartest.Tar(f),
		tartest.Tar(f, tartest.Dir("./"), tartest.File("./a", "x"), tartest.Dir("./d"), tartest.File("./d/b", tartest.Text(1, 600)), tartest.Hardlink("./c", "./a"), tartest.Symlink("./l", "a")),
		tartest.Tar(f, tartest.File("a/b/c", "x"), tartest.File("a/b/c", "y"), tartest.Dir("a"), tartest.Dir("e"), tartest.File("e", "z"), tartest.Hardlink("e", "a/b/c")),
		tartest.Tar(f, tartest.File(long+"x", "1").As(tar.FormatGNU), tartest.Symlink("l", long).As(tar.FormatGNU)),
		tartest.Tar(f, tartest.File(long+"y", "1").As(tar.FormatPAX), tartest.Hardlink("h", long+"y").As(tar.FormatPAX)),
		tartest.Tar(f, tartest.Raw(tartest.PaxGlobal("comment=x")), tartest.Raw(tartest.Pax("mtime=-1.5", "path=p"), tartest.Header('0', "x", 1, tartest.Ustar), tartest.Padded("y"))),
		tartest.Tar(f, tartest.Raw(tartest.Pax("GNU.sparse.major=1", "GNU.sparse.minor=0"), tartest.Header('0', "a", 512, tartest.Ustar), tartest.Padded("1\n0\n0\n"))),
		tartest.Tar(f, tartest.Raw(tartest.Header('S', "a", 0, tartest.GNU)), tartest.Special("p", tar.TypeFifo)),
		tartest.Tar(f, tartest.Raw(tartest.Header(0, "v7/", 0, nil)), tartest.Raw(tartest.Header(0, "v7/f", 3, nil), tartest.Padded("abc"))),
	}
	for _, t := range all {
		all = append(all, t[:len(t)-tarball.Block])
	}
	return all
}

// FuzzTar decodes any bytes as a tar: an error, or a tree that passes checkTree.
func FuzzTar(f *testing.F) {
	for _, t := range seeds(f) {
		f.Add(t)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		for i := 0; i+tarball.Block <= len(data); i += tarball.Block {
			fixChecksum(data[i:][:tarball.Block])
		}
		tree, err := treeOf(data)
		if err == nil {
			checkTree(t, tree)
		}
	})
}

// fixChecksum corrects the checksum of a block that resembles a header, so that it
// does not hide what else is wrong with changed bytes.
func fixChecksum(b []byte) {
	if b[0] == 0 || b[155] != ' ' || b[154] != 0 {
		return
	}
	header := tartest.Header(b[156], "", 0, func(h []byte) { copy(h, b) })
	copy(b, header)
}

// FuzzOpen opens and verifies any bytes: either both return an error or neither.
func FuzzOpen(f *testing.F) {
	for _, t := range seeds(f) {
		f.Add(tartest.XZ(f, t, 0))
		f.Add(tartest.XZ(f, t, 700))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		tree, err := openBytes(data)
		if err2 := verify(data); (err == nil) != (err2 == nil) {
			t.Errorf("Open: %v; Verify: %v", err, err2)
		}
		if err == nil {
			checkTree(t, tree)
		}
	})
}

// fixSums corrects the checksums of an index and of the seek table, so that they do
// not hide what else is wrong with changed bytes.
func fixSums(b []byte) {
	le := binary.LittleEndian
	if len(b) < 9 {
		return
	}
	entries := int64(le.Uint32(b[len(b)-9:])) * 8
	table := int64(len(b)) - 9 - entries
	if entries == 0 || table < 8 {
		return
	}
	last := table + entries - 8
	end := table - 8
	index := end - int64(le.Uint32(b[last:])) + 8
	if index < 0 || index+64+4 > end {
		return
	}
	le.PutUint32(b[index+12:], crc32.Checksum(b[index+16:end-4], crc32.MakeTable(crc32.Castagnoli)))
	le.PutUint32(b[end-4:], crc32.Checksum(b[table:last], crc32.MakeTable(crc32.Castagnoli)))
}

// FuzzCacheFile opens any bytes as a cache file: an error, or a tree that passes
// tabletest.Check. If Verify returns no error, the tree is that of the tar inside.
func FuzzCacheFile(f *testing.F) {
	for name, members := range cacheFileTrees() {
		if name != "sizes" {
			f.Add(written(f, memoryTree(f, members...)))
		}
	}
	for _, t := range seeds(f) {
		if tree, err := treeOf(t); err == nil {
			f.Add(written(f, tree))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		data = bytes.Clone(data)
		fixSums(data)
		tree, err := openCacheFile(data)
		if err != nil {
			return
		}
		tabletest.Check(t, tree.Table)
		damaged := false
		for id := range ID(tree.Len()) {
			if e := tree.Entry(id); !e.IsDir() && !e.IsLink() && e.Size > 0 {
				p := make([]byte, min(e.Size, 1<<20))
				n, err := tree.ReadAt(id, p, e.Size-int64(len(p)))
				damaged = damaged || err != nil
				if err == nil && n != len(p) {
					t.Errorf("%s: read %d of %d bytes", tree.Path(id), n, len(p))
				}
			}
		}
		if verify(data) != nil {
			return
		}
		r := tree.row.Load()
		unpacked := make([]byte, r.Size())
		if _, err := r.ReadAt(unpacked, 0); err != nil || damaged {
			t.Fatalf("Verify returns no error: %v", err)
		}
		want, err := treeOf(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		want.Hash = tree.Hash
		sameTree(t, tree, want)
	})
}
