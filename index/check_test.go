// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/blocks"
	"github.com/kheadersfs/kheadersfs/index/table/tabletest"
)

// checkTree checks everything that must hold of a tree.
func checkTree(t testing.TB, tree *Tree) {
	t.Helper()
	tabletest.Check(t, tree.Table)
	for id := range ID(tree.Len()) {
		if e := tree.Entry(id); e.IsFile() {
			checkReads(t, tree, id)
		} else if n, err := tree.ReadAt(id, make([]byte, 1), 0); n != 0 || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: not a file, reads %d bytes: %v", tree.Path(id), n, err)
		}
	}
}

// checkReads reads a file as a whole and around the edges of its blocks.
func checkReads(t testing.TB, tree *Tree, id ID) {
	t.Helper()
	e := tree.Entry(id)
	whole := read(t, tree, id)
	size := e.Size
	var offsets []int64
	for edge := int64(0); edge <= size+blocks.MemoryBlock; edge += blocks.MemoryBlock {
		offsets = append(offsets, edge-1, edge, edge+1)
	}
	offsets = append(offsets, size-1, size, size+1, size/2, 1<<62)
	for _, off := range offsets {
		for _, n := range []int64{0, 1, 2, 511, blocks.MemoryBlock - 1, blocks.MemoryBlock, blocks.MemoryBlock + 1, size} {
			if n > size+2 {
				continue
			}
			p := bytes.Repeat([]byte{0xa5}, int(n))
			got, err := tree.ReadAt(id, p, off)
			want := max(0, min(n, size-off))
			switch {
			case off < 0:
				if got != 0 || !errors.Is(err, syscall.EINVAL) {
					t.Errorf("%s: at %d: %d, %v", tree.Path(id), off, got, err)
				}
				continue
			case int64(got) != want || err != nil && err != io.EOF || err == nil && want < n || err == io.EOF && off+n < size:
				t.Errorf("%s, %d bytes: %d bytes at %d: %d, %v", tree.Path(id), size, n, off, got, err)
			case !bytes.Equal(p[:got], whole[min(off, size):][:got]):
				t.Errorf("%s, %d bytes: %d bytes at %d are not those of the file", tree.Path(id), size, n, off)
			case bytes.Count(p[got:], []byte{0xa5}) != len(p)-got:
				t.Errorf("%s, %d bytes: %d bytes at %d: wrote beyond what it read", tree.Path(id), size, n, off)
			}
		}
	}
}
