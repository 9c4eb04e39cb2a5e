// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"io"
	"slices"

	"github.com/kheadersfs/kheadersfs/index/kernel"
)

// Hot returns the files that programs are likely to read, each by its first name, in
// the order in which they are read. The first call may decode some megabytes.
func (t *Tree) Hot() []ID {
	t.hotMu.Lock()
	defer t.hotMu.Unlock()
	if t.hot != nil {
		return t.hot
	}
	if r := t.row.Load(); r.hot > 0 {
		t.hot = t.before(r)
		return t.hot
	}
	ids, n, err := t.order()
	if err != nil {
		return nil // the next caller tries again
	}
	seen := map[ID]bool{}
	for _, id := range ids[:n] {
		if first := t.Entry(id).Ino; !seen[first] {
			seen[first] = true
			t.hot = append(t.hot, first)
		}
	}
	return t.hot
}

// before returns the files that begin before the end of the hot ones, by offset. The
// header of the next member lies between, so that only an empty file begins at it.
func (t *Tree) before(r *row) []ID {
	var ids []ID
	for id := range ID(t.Len()) {
		if e := t.Entry(id); e.IsFile() && e.Ino == id && r.table.Offset(id) <= r.hot {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b ID) int { return cmp.Compare(r.table.Offset(a), r.table.Offset(b)) })
	return ids
}

// order returns all names but those of directories, in the order in which an archive
// holds them best. The first n of them are hot.
func (t *Tree) order() (ids []ID, n int, err error) {
	var names []string
	for id := range ID(t.Len()) {
		if e := t.Entry(id); !e.IsDir() {
			names = append(names, t.Path(id))
		}
	}
	var text []byte
	read := func(name string, limit int) ([]byte, bool) {
		id, ok := t.Find(name)
		e := t.Entry(id)
		if !ok || !e.IsFile() || e.Size > int64(limit) || err != nil {
			return nil, false
		}
		text = slices.Grow(text[:0], int(e.Size))[:e.Size]
		if _, e := t.ReadAt(id, text, 0); e != nil && e != io.EOF {
			err = e
		}
		return text, err == nil
	}
	names, n = kernel.Order(names, t.arch(), read)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		id, _ := t.Find(name)
		ids = append(ids, id)
	}
	return ids, n, nil
}

// arch returns the kernel's name of the processor, as in the directory arch/. The
// headers of a kernel are for one only.
func (t *Tree) arch() string {
	dir, _ := t.Find("arch")
	first, n := t.Children(dir)
	for id := first; dir != Root && id < first+ID(n); id++ {
		if _, ok := t.Lookup(id, "include"); ok {
			return t.Entry(id).Name
		}
	}
	return ""
}
