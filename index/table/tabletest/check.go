// SPDX-License-Identifier: Apache-2.0

// Package tabletest checks what must hold for every table of names.
package tabletest

import (
	"slices"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/table"
)

// Check checks all of a table: its order, its inodes, and that each name is found.
func Check(t testing.TB, tab *table.Table) {
	t.Helper()
	checkOrder(t, tab)
	checkInodes(t, tab)
	for id := range table.ID(tab.Len()) {
		checkNames(t, tab, id)
		e := tab.Entry(id)
		if (tab.Target(id) != "") != e.IsLink() || e.IsLink() && int64(len(tab.Target(id))) != e.Size {
			t.Errorf("%s: target %q, size %d", tab.Path(id), tab.Target(id), e.Size)
		}
	}
}

// checkOrder checks that parents come first, and that the children of each directory
// lie together, sorted, after those of the directory before.
func checkOrder(t testing.TB, tab *table.Table) {
	t.Helper()
	if root := tab.Entry(table.Root); !root.IsDir() || root.Name != "" || root.Parent != table.Root {
		t.Fatalf("the root is %+v", root)
	}
	next := table.Root + 1
	for id := range table.ID(tab.Len()) {
		first, n := tab.Children(id)
		if e := tab.Entry(id); !e.IsDir() {
			if n != 0 {
				t.Fatalf("%s: isn't a directory and has %d children", tab.Path(id), n)
			}
			continue
		}
		if n > 0 && (first != next || first <= id || int(first)+n > tab.Len()) {
			t.Fatalf("%s: has children %d to %d, want from %d on", tab.Path(id), first, int(first)+n, next)
		}
		for c := range table.ID(n) {
			e := tab.Entry(first + c)
			if e.Parent != id {
				t.Fatalf("%s: lies in %d, its parent is %d", e.Name, id, e.Parent)
			}
			if c > 0 && tab.Entry(first+c-1).Name >= e.Name {
				t.Errorf("%q comes behind %q", e.Name, tab.Entry(first+c-1).Name)
			}
			if e.Name == "" || e.Name == "." || e.Name == ".." || len(e.Name) > 255 || strings.ContainsAny(e.Name, "/\x00") {
				t.Errorf("a file called %q", e.Name)
			}
		}
		next += table.ID(n)
	}
	if int(next) != tab.Len() {
		t.Errorf("%d of %d entries are in a directory", next, tab.Len())
	}
}

// checkInodes checks link counts, and that all names of a file have its attributes.
func checkInodes(t testing.TB, tab *table.Table) {
	t.Helper()
	names := map[table.ID][]table.ID{} // of each inode
	for id := range table.ID(tab.Len()) {
		names[tab.Entry(id).Ino] = append(names[tab.Entry(id).Ino], id)
	}
	var bytes int64
	for ino, ids := range names {
		first := tab.Entry(ino)
		if slices.Min(ids) != ino {
			t.Errorf("inode %d is first of %d", ino, ids)
		}
		if first.IsDir() {
			want := uint32(2)
			at, n := tab.Children(ino)
			for c := range table.ID(n) {
				if e := tab.Entry(at + c); e.IsDir() {
					want++
				}
			}
			if len(ids) != 1 || first.Nlink != want || first.Size != 0 {
				t.Errorf("%s: %d names, link count %d, want 1, %d", tab.Path(ino), len(ids), first.Nlink, want)
			}
			continue
		}
		if !first.IsLink() {
			bytes += first.Size
		}
		for _, id := range ids {
			e := tab.Entry(id)
			if int(e.Nlink) != len(ids) {
				t.Errorf("%s: link count %d, and %d names", tab.Path(id), e.Nlink, len(ids))
			}
			e.Name, e.Parent = first.Name, first.Parent
			if e != first {
				t.Errorf("%s: %+v, its first name tells %+v", tab.Path(id), e, first)
			}
		}
	}
	if tab.Bytes != bytes {
		t.Errorf("Bytes is %d, want %d", tab.Bytes, bytes)
	}
}

// checkNames looks an entry up in all ways, and names that aren't there.
func checkNames(t testing.TB, tab *table.Table, id table.ID) {
	t.Helper()
	e := tab.Entry(id)
	if got, ok := tab.Find(tab.Path(id)); !ok || got != id {
		t.Errorf("Find(%q) is %d, %v, want %d", tab.Path(id), got, ok, id)
	}
	if id != table.Root {
		if got, ok := tab.Lookup(e.Parent, e.Name); !ok || got != id {
			t.Errorf("Lookup of %q is %d, %v, want %d", e.Name, got, ok, id)
		}
		for _, name := range []string{e.Name + "\x00", e.Name + "/", "/" + e.Name} {
			if got, ok := tab.Lookup(e.Parent, name); ok {
				t.Errorf("%q is %d and shouldn't be there", name, got)
			}
		}
	}
	for _, name := range []string{"", ".", "..", "/", "\xff\xff"} {
		if got, ok := tab.Lookup(id, name); ok && name != "\xff\xff" {
			t.Errorf("%q in %s is %d and shouldn't be there", name, tab.Path(id), got)
		}
	}
}
