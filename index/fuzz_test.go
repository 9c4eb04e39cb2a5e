// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// seeds are tars that hold one of everything.
func seeds(f *testing.F) [][]byte {
	long := string(bytes.Repeat([]byte("long/"), 25))
	all := [][]byte{
		tarOf(f),
		tarOf(f, dir("./"), file("./a", "x"), dir("./d"), file("./d/b", text(1, 600)), hardlink("./c", "./a"), symlink("./l", "a")),
		tarOf(f, file("a/b/c", "x"), file("a/b/c", "y"), dir("a"), dir("e"), file("e", "z"), hardlink("e", "a/b/c")),
		tarOf(f, file(long+"x", "1").as(tar.FormatGNU), symlink("l", long).as(tar.FormatGNU)),
		tarOf(f, file(long+"y", "1").as(tar.FormatPAX), hardlink("h", long+"y").as(tar.FormatPAX)),
		tarOf(f, raw(paxBlocks('g', "comment=x")), raw(paxHeader("mtime=-1.5", "path=p"), rawHeader('0', "x", 1, ustar), padded("y"))),
		tarOf(f, raw(paxHeader("GNU.sparse.major=1", "GNU.sparse.minor=0"), rawHeader('0', "a", 512, ustar), padded("1\n0\n0\n"))),
		tarOf(f, raw(rawHeader('S', "a", 0, gnu)), special("p", tar.TypeFifo)),
		tarOf(f, raw(rawHeader(0, "v7/", 0, nil)), raw(rawHeader(0, "v7/f", 3, nil), padded("abc"))),
	}
	for _, t := range all {
		all = append(all, t[:len(t)-tarBlock])
	}
	return all
}

// FuzzTar: a tar of any bytes makes no tree or one of which all holds that must.
func FuzzTar(f *testing.F) {
	for _, t := range seeds(f) {
		f.Add(t)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		for i := 0; i+tarBlock <= len(data); i += tarBlock {
			fixChecksum(data[i:][:tarBlock])
		}
		tree, err := treeOf(data)
		if err == nil {
			checkTree(t, tree)
		}
	})
}

// fixChecksum makes a block that looks somewhat like a header into one, so that
// changed bytes are not all refused for their checksum.
func fixChecksum(b []byte) {
	if b[0] == 0 || b[155] != ' ' || b[154] != 0 {
		return
	}
	header := rawHeader(b[156], "", 0, func(h []byte) { copy(h, b) })
	copy(b, header)
}

// FuzzLoad: what Load takes Verify finds good, and the other way around.
func FuzzLoad(f *testing.F) {
	for _, t := range seeds(f) {
		f.Add(xzOf(f, t, 0))
		f.Add(xzOf(f, t, 700))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		tree, err := Open(data)
		if verify := Verify(data); (err == nil) != (verify == nil) {
			t.Errorf("Load: %v; Verify: %v", err, verify)
		}
		if err == nil {
			checkTree(t, tree)
		}
	})
}

// fixSums makes the checksums of an index and of the seek table right, so that
// changed bytes are not all refused for theirs.
func fixSums(b []byte) {
	le := binary.LittleEndian
	if len(b) < seekFooterSize {
		return
	}
	entries := int64(le.Uint32(b[len(b)-seekFooterSize:])) * seekEntrySize
	table := int64(len(b)) - seekFooterSize - entries
	if entries == 0 || table < skippableSize {
		return
	}
	last := table + entries - seekEntrySize
	end := table - skippableSize
	index := end - int64(le.Uint32(b[last:])) + skippableSize
	if index < 0 || index+indexHeaderSize+sumSize > end {
		return
	}
	le.PutUint32(b[index+12:], crc32.Checksum(b[index+16:end-sumSize], castagnoli))
	le.PutUint32(b[end-sumSize:], crc32.Checksum(b[table:last], castagnoli))
}

// FuzzSeekable: a cache file of any bytes makes no tree or one of which all holds
// that must; and what Verify finds good is the tree that its tar makes.
func FuzzSeekable(f *testing.F) {
	for name, members := range seekableTrees() {
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
		tree, err := openBytes(data)
		if err != nil {
			return
		}
		checkTable(t, tree)
		checkInodes(t, tree)
		damaged := false
		for id := range ID(tree.Len()) {
			checkNames(t, tree, id)
			if e := tree.Entry(id); !e.IsDir() && !e.IsLink() && e.Size > 0 {
				p := make([]byte, min(e.Size, 1<<20))
				n, err := tree.ReadAt(id, p, e.Size-int64(len(p)))
				damaged = damaged || err != nil
				if err == nil && n != len(p) {
					t.Errorf("%s: read %d of %d bytes", tree.Path(id), n, len(p))
				}
			}
		}
		if Verify(data) != nil {
			return
		}
		d := tree.data.Load()
		unpacked := make([]byte, d.size())
		if err := d.readAt(unpacked, 0); err != nil || damaged {
			t.Fatalf("Verify finds nothing: %v", err)
		}
		want, err := treeOf(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		want.Hash = tree.Hash
		sameTree(t, tree, want)
	})
}
