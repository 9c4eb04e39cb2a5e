// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/kheadersfs/kheadersfs/index/kernel"
)

// Files returns all files, each by its first name, in the order in which reading them
// decodes least. The first hot ones are those that programs are likely to read, in the
// order in which they are read. The first call may decode some megabytes.
func (t *Tree) Files() (files []ID, hot int) {
	t.filesMu.Lock()
	defer t.filesMu.Unlock()
	if t.files != nil {
		return t.files, t.hot
	}
	defer func() { t.includes = nil }()
	if r := t.row.Load(); r.hot > 0 {
		t.files = t.byPlace(r)
		// The header of the next member lies between, so that only an empty file begins
		// at the end of what is hot.
		t.hot = sort.Search(len(t.files), func(i int) bool { return r.table.Offset(t.files[i]) > r.hot })
		return t.files, t.hot
	}
	ids, n, err := t.order()
	if err != nil {
		return nil, 0 // the next caller tries again
	}
	seen := make([]bool, t.Len())
	for i, id := range ids {
		e := t.Entry(id)
		if first := e.Ino; e.IsFile() && !seen[first] {
			seen[first] = true
			t.files = append(t.files, first)
		}
		if i == n-1 {
			t.hot = len(t.files)
		}
	}
	return t.files, t.hot
}

// Lookups returns the paths that compilers look up for hot files: their directories, with a
// slash at the end, and names that do not exist in an include directory where a compiler looks
// first. The first call may decode some megabytes.
func (t *Tree) Lookups() []string {
	files, hot := t.Files()
	search := kernel.IncludeDirs(t.arch())
	var paths []string
	seen := map[string]bool{}
	add := func(path string) {
		if path != "" && !seen[path] {
			seen[path] = true
			paths = append(paths, path)
		}
	}
	for _, id := range files[:hot] {
		name := t.Path(id)
		add(name[:strings.LastIndexByte(name, '/')+1])
		for i, dir := range search {
			if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
				for _, first := range search[:i] {
					add(t.absent(first, rest))
				}
			}
		}
	}
	return paths
}

// absent returns the first part of a path below a directory that does not exist, and
// nothing if all of it does.
func (t *Tree) absent(dir, path string) string {
	id, ok := t.Find(dir)
	for ok && path != "" {
		var name string
		name, path, _ = strings.Cut(path, "/")
		dir += "/" + name
		id, ok = t.Lookup(id, name)
	}
	if ok {
		return ""
	}
	return dir
}

// byPlace returns all files by offset.
func (t *Tree) byPlace(r *row) []ID {
	var files []ID
	for id := range ID(t.Len()) {
		if e := t.Entry(id); e.IsFile() && e.Ino == id {
			files = append(files, id)
		}
	}
	slices.SortFunc(files, func(a, b ID) int { return cmp.Compare(r.table.Offset(a), r.table.Offset(b)) })
	return files
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
	read := func(name string, limit int) (int, []kernel.Include, bool) {
		id, ok := t.Find(name)
		e := t.Entry(id)
		if !ok || !e.IsFile() || e.Size > int64(limit) || err != nil {
			return 0, nil, false
		}
		if e.Size == 0 { // another file begins there, too
			return 0, nil, true
		}
		if t.includes != nil {
			return int(e.Size), t.includes[t.Offset(id)], true
		}
		text = slices.Grow(text[:0], int(e.Size))[:e.Size]
		if _, e := t.ReadAt(id, text, 0); e != nil && e != io.EOF {
			err = e
		}
		return len(text), kernel.Includes(text), err == nil
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
