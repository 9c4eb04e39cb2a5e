// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
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
