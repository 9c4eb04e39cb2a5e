// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/kheadersfs/kheadersfs/index/hot"
)

// offset returns where the bytes of a file begin.
func (d *data) offset(id ID) int64 {
	return int64(binary.LittleEndian.Uint32(d.table[int(id)*entrySize+32:]))
}

// Hot returns the files that programs are likely to read, each by its first name,
// in the order in which they do. The first call may decode some megabytes.
func (t *Tree) Hot() []ID {
	t.hotMu.Lock()
	defer t.hotMu.Unlock()
	if t.hot != nil {
		return t.hot
	}
	if d := t.data.Load(); d.hot > 0 {
		t.hot = t.before(d, d.hot)
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

// before returns the files whose bytes begin in front of an offset, or there and
// are none, by offset: a header lies in front of the next file.
func (t *Tree) before(d *data, end int64) []ID {
	var ids []ID
	for id := range ID(t.Len()) {
		if e := t.Entry(id); !e.IsDir() && !e.IsLink() && e.Ino == id && d.offset(id) <= end {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b ID) int { return cmp.Compare(d.offset(a), d.offset(b)) })
	return ids
}

// order returns all names but those of directories, in the order in which they
// are to lie in an archive. The first ones, as many as n tells, are hot.
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
		if !ok || e.IsDir() || e.IsLink() || e.Size > int64(limit) || err != nil {
			return nil, false
		}
		text = slices.Grow(text[:0], int(e.Size))[:e.Size]
		if _, e := t.ReadAt(id, text, 0); e != nil && e != io.EOF {
			err = e
		}
		return text, err == nil
	}
	names, n = hot.Order(names, t.arch(), read)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		id, _ := t.Find(name)
		ids = append(ids, id)
	}
	return ids, n, nil
}

// arch returns the kernel's name of the processor, as in the directory arch/.
// Headers of a kernel are of one only.
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

// Switch has the data of t come from where that of another tree comes from,
// which must be of the same archive. Reads that are under way end as they began.
func (t *Tree) Switch(to *Tree) error {
	d := to.data.Load()
	same := t.Hash == to.Hash && t.strings == to.strings && len(t.table) == len(d.table)
	for id := ID(0); same && id < ID(t.Len()); id++ {
		a, b := t.record(id), d.table[int(id)*entrySize:][:entrySize]
		isFile := kind(a[5]) == kindFile || kind(a[5]) == kindExec
		same = string(a[:32]) == string(b[:32]) && string(a[36:]) == string(b[36:]) && (isFile || string(a[32:36]) == string(b[32:36]))
	}
	if !same {
		return errors.New("the trees are not the same")
	}
	t.data.Store(d)
	return nil
}

// OnDamage has f called when bytes turn out to be damaged, with the error that
// the reader is about to get. It gets the one that f returns instead; if f returns
// none, it has called Switch, and all is read from there. There is one call at a
// time.
func (t *Tree) OnDamage(f func(cause error) error) {
	t.mending.Lock()
	defer t.mending.Unlock()
	t.mend = f
}

// mendData is called with data in which something is damaged.
func (t *Tree) mendData(bad *data, cause error) error {
	t.mending.Lock()
	defer t.mending.Unlock()
	if t.data.Load() != bad {
		return nil // others have been here
	}
	if t.mend == nil {
		return cause
	}
	if err := t.mend(cause); err != nil {
		return err
	}
	if t.data.Load() == bad {
		return cause
	}
	return nil
}
