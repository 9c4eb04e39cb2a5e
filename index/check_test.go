// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// checkTree looks at all that must hold for every tree.
func checkTree(t testing.TB, tree *Tree) {
	t.Helper()
	checkTable(t, tree)
	checkInodes(t, tree)
	for id := range ID(tree.Len()) {
		checkNames(t, tree, id)
		e := tree.Entry(id)
		if (tree.Target(id) != "") != e.IsLink() || e.IsLink() && int64(len(tree.Target(id))) != e.Size {
			t.Errorf("%s: target %q, size %d", tree.Path(id), tree.Target(id), e.Size)
		}
		if e.Mode&syscall.S_IFMT == syscall.S_IFREG {
			checkReads(t, tree, id)
		} else if n, err := tree.ReadAt(id, make([]byte, 1), 0); n != 0 || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: isn't a file, and reads %d bytes: %v", tree.Path(id), n, err)
		}
	}
}

// checkTable: parents come first, the children of each directory lie together
// and behind those of the directory before, sorted.
func checkTable(t testing.TB, tree *Tree) {
	t.Helper()
	if root := tree.Entry(Root); !root.IsDir() || root.Name != "" || root.Parent != Root {
		t.Fatalf("the root is %+v", root)
	}
	next := Root + 1
	for id := range ID(tree.Len()) {
		first, n := tree.Children(id)
		if e := tree.Entry(id); !e.IsDir() {
			if n != 0 {
				t.Fatalf("%s: isn't a directory and has %d children", tree.Path(id), n)
			}
			continue
		}
		if n > 0 && (first != next || first <= id || int(first)+n > tree.Len()) {
			t.Fatalf("%s: has children %d to %d, want from %d on", tree.Path(id), first, int(first)+n, next)
		}
		for c := range ID(n) {
			e := tree.Entry(first + c)
			if e.Parent != id {
				t.Fatalf("%s: lies in %d, its parent is %d", e.Name, id, e.Parent)
			}
			if c > 0 && tree.Entry(first+c-1).Name >= e.Name {
				t.Errorf("%q comes behind %q", e.Name, tree.Entry(first+c-1).Name)
			}
			if e.Name == "" || e.Name == "." || e.Name == ".." || len(e.Name) > 255 || strings.ContainsAny(e.Name, "/\x00") {
				t.Errorf("a file called %q", e.Name)
			}
		}
		next += ID(n)
	}
	if int(next) != tree.Len() {
		t.Errorf("%d of %d entries are in a directory", next, tree.Len())
	}
}

// checkInodes: link counts are right, and names of one file tell the same of it.
func checkInodes(t testing.TB, tree *Tree) {
	t.Helper()
	names := map[ID][]ID{} // of each inode
	for id := range ID(tree.Len()) {
		names[tree.Entry(id).Ino] = append(names[tree.Entry(id).Ino], id)
	}
	var bytes int64
	for ino, ids := range names {
		first := tree.Entry(ino)
		if slices.Min(ids) != ino {
			t.Errorf("inode %d is first of %d", ino, ids)
		}
		if first.IsDir() {
			want := uint32(2)
			at, n := tree.Children(ino)
			for c := range ID(n) {
				if e := tree.Entry(at + c); e.IsDir() {
					want++
				}
			}
			if len(ids) != 1 || first.Nlink != want || first.Size != 0 {
				t.Errorf("%s: %d names, link count %d, want 1, %d", tree.Path(ino), len(ids), first.Nlink, want)
			}
			continue
		}
		if !first.IsLink() {
			bytes += first.Size
		}
		for _, id := range ids {
			e := tree.Entry(id)
			if int(e.Nlink) != len(ids) {
				t.Errorf("%s: link count %d, and %d names", tree.Path(id), e.Nlink, len(ids))
			}
			e.Name, e.Parent = first.Name, first.Parent
			if e != first {
				t.Errorf("%s: %+v, its first name tells %+v", tree.Path(id), e, first)
			}
		}
	}
	if tree.Bytes != bytes {
		t.Errorf("Bytes is %d, want %d", tree.Bytes, bytes)
	}
}

// checkNames looks an entry up in all ways, and names that aren't there.
func checkNames(t testing.TB, tree *Tree, id ID) {
	t.Helper()
	e := tree.Entry(id)
	if got, ok := tree.Find(tree.Path(id)); !ok || got != id {
		t.Errorf("Find(%q) is %d, %v, want %d", tree.Path(id), got, ok, id)
	}
	if id != Root {
		if got, ok := tree.Lookup(e.Parent, e.Name); !ok || got != id {
			t.Errorf("Lookup of %q is %d, %v, want %d", e.Name, got, ok, id)
		}
		for _, name := range []string{e.Name + "\x00", e.Name + "/", "/" + e.Name} {
			if got, ok := tree.Lookup(e.Parent, name); ok {
				t.Errorf("%q is %d and shouldn't be there", name, got)
			}
		}
	}
	for _, name := range []string{"", ".", "..", "/", "\xff\xff"} {
		if got, ok := tree.Lookup(id, name); ok && name != "\xff\xff" {
			t.Errorf("%q in %s is %d and shouldn't be there", name, tree.Path(id), got)
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
	for edge := int64(0); edge <= size+memoryBlock; edge += memoryBlock {
		offsets = append(offsets, edge-1, edge, edge+1)
	}
	offsets = append(offsets, size-1, size, size+1, size/2, 1<<62)
	for _, off := range offsets {
		for _, n := range []int64{0, 1, 2, 511, memoryBlock - 1, memoryBlock, memoryBlock + 1, size} {
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
				t.Errorf("%s, %d bytes: %d bytes at %d: wrote behind what it read", tree.Path(id), size, n, off)
			}
		}
	}
}
