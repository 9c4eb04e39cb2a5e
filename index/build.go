// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits on what an archive may name, refused before memory is taken.
const (
	maxEntries = 1 << 18  // the whole kernel source has 90,000
	maxName    = 255      // bytes, NAME_MAX
	maxPath    = 4095     // bytes, PATH_MAX without the NUL
	maxTarget  = 4095     // bytes
	maxDepth   = 128      // directories
	maxStrings = 16 << 20 // bytes of all names and targets; the kernel source has 2 MB
)

// A builder takes the members of an archive in their order, and makes the
// table of them. The rules for names that come twice are those of extracting
// with tar, as far as they harm nobody.
type builder struct {
	root    *node
	entries int
	strings int // bytes of names and targets
}

// A node is one name; more than one may be of the same inode.
type node struct {
	*inode
	name     string
	children map[string]*node // of a directory
}

type inode struct {
	kind   kind
	named  bool // by the archive; a directory may be only part of a path
	mtime  time.Time
	off    int64 // in the data
	size   int64
	target string

	// Set by finish.
	id    ID
	nlink uint32
}

func newBuilder() *builder {
	return &builder{
		root:    &node{inode: &inode{kind: kindDir}, children: map[string]*node{}},
		entries: 1,
	}
}

func (n *node) isDir() bool { return n.kind == kindDir }

// add puts a member where its name says.
func (b *builder) add(name string, in *inode) error {
	if err := b.count(in.target); err != nil {
		return err
	}
	dir, base, err := b.parent(name)
	if err != nil {
		return err
	}
	if base == "" {
		if in.kind != kindDir {
			return errors.New("the name of the top directory, but not a directory")
		}
		*b.root.inode = *in
		return nil
	}
	old := dir.children[base]
	switch {
	case old == nil:
		return b.insert(dir, base, in)
	case old.isDir() && in.kind == kindDir:
		*old.inode = *in
	case old.isDir() && len(old.children) > 0:
		return errors.New("takes the place of a directory that is not empty")
	default:
		old.inode, old.children = in, nil
		if in.kind == kindDir {
			old.children = map[string]*node{}
		}
	}
	return nil
}

// link gives the file that target names now a second name.
func (b *builder) link(name, target string) error {
	names, err := splitPath(target)
	if err != nil {
		return fmt.Errorf("target of the hard link: %w", err)
	}
	n := b.root
	for _, name := range names {
		n = n.children[name]
		if n == nil {
			return fmt.Errorf("hard link to %q, which is not there (yet)", target)
		}
	}
	if n.isDir() {
		return fmt.Errorf("hard link to %q, a directory", target)
	}
	return b.add(name, n.inode)
}

// parent returns the directory that a member belongs in and its name there,
// which is empty for the root. Directories on the way are made.
func (b *builder) parent(path string) (dir *node, base string, err error) {
	names, err := splitPath(path)
	if err != nil || len(names) == 0 {
		return b.root, "", err
	}
	dir = b.root
	for _, name := range names[:len(names)-1] {
		next := dir.children[name]
		if next == nil {
			if err := b.insert(dir, name, &inode{kind: kindDir}); err != nil {
				return nil, "", err
			}
			next = dir.children[name]
		}
		if !next.isDir() {
			return nil, "", fmt.Errorf("lies below %q, which is not a directory", name)
		}
		dir = next
	}
	return dir, names[len(names)-1], nil
}

func (b *builder) insert(dir *node, name string, in *inode) error {
	if b.entries >= maxEntries {
		return fmt.Errorf("more than the limit of %d entries", maxEntries)
	}
	if err := b.count(name); err != nil {
		return err
	}
	b.entries++
	n := &node{inode: in, name: name}
	if in.kind == kindDir {
		n.children = map[string]*node{}
	}
	dir.children[name] = n
	return nil
}

// count takes a name or target into account.
func (b *builder) count(s string) error {
	if b.strings += len(s); b.strings > maxStrings {
		return fmt.Errorf("more than the limit of %d bytes of names and link targets", maxStrings)
	}
	return nil
}

// splitPath takes a member's name apart. "./", and slashes that say nothing,
// go; what could lead out of the tree is refused.
func splitPath(path string) ([]string, error) {
	switch {
	case path == "":
		return nil, errors.New("an empty name")
	case len(path) > maxPath:
		return nil, fmt.Errorf("a name of %d bytes, more than the limit of %d", len(path), maxPath)
	case path[0] == '/':
		return nil, errors.New("an absolute name")
	case strings.IndexByte(path, 0) >= 0:
		return nil, errors.New("a NUL in its name")
	}
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == ".":
			continue
		case name == "..":
			return nil, errors.New("a .. in its name")
		case len(name) > maxName:
			return nil, fmt.Errorf("a name of %d bytes, more than the limit of %d", len(name), maxName)
		}
		names = append(names, name)
	}
	if len(names) > maxDepth {
		return nil, fmt.Errorf("%d directories deep, more than the limit of %d", len(names), maxDepth)
	}
	return names, nil
}

// finish makes the table.
func (b *builder) finish() *Tree {
	setTimes(b.root)

	// Breadth first, so that the children of a directory lie together and
	// behind it.
	order := append(make([]*node, 0, b.entries), b.root)
	parents := make([]ID, 1, b.entries)
	first := make([]ID, b.entries)
	for id := ID(0); int(id) < len(order); id++ {
		first[id] = ID(len(order))
		children := slices.SortedFunc(maps.Values(order[id].children), func(a, b *node) int {
			return cmp.Compare(a.name, b.name)
		})
		for _, c := range children {
			order = append(order, c)
			parents = append(parents, id)
		}
	}
	for _, n := range order {
		n.nlink = 0
	}
	for i, n := range order {
		if n.nlink == 0 {
			n.id = ID(i)
		}
		n.nlink++
		if i > 0 && n.isDir() {
			order[parents[i]].nlink++ // for its ".."
		}
	}

	t := &Tree{table: make([]byte, len(order)*entrySize)}
	var all stringTable
	for i, n := range order {
		id := ID(i)
		var at, size uint32
		nlink := n.nlink
		switch n.kind {
		case kindDir:
			at, size = uint32(first[id]), uint32(len(n.children))
			nlink++ // its "."
		case kindLink:
			at, size = all.add(n.target), uint32(len(n.target))
		default:
			at, size = uint32(n.off), uint32(n.size)
			if n.id == id {
				t.Bytes += n.size
			}
		}
		r := t.record(id)
		le := binary.LittleEndian
		le.PutUint32(r, all.add(n.name))
		r[4] = byte(len(n.name))
		r[5] = byte(n.kind)
		le.PutUint32(r[8:], uint32(parents[id]))
		le.PutUint32(r[12:], uint32(n.id))
		le.PutUint32(r[16:], nlink)
		le.PutUint32(r[20:], uint32(n.mtime.Nanosecond()))
		le.PutUint64(r[24:], uint64(n.mtime.Unix()))
		le.PutUint32(r[32:], at)
		le.PutUint32(r[36:], size)
	}
	t.strings = all.b.String()
	return t
}

// setTimes gives directories that the archive doesn't name the newest time of
// what lies below them, and returns a directory's newest.
func setTimes(dir *node) time.Time {
	newest := time.Unix(0, 0)
	for _, n := range dir.children {
		t := n.mtime
		if n.isDir() {
			t = setTimes(n)
		}
		if t.After(newest) {
			newest = t
		}
	}
	if !dir.named {
		dir.mtime = newest
	} else if dir.mtime.After(newest) {
		newest = dir.mtime
	}
	return newest
}

// A stringTable holds each string once.
type stringTable struct {
	b    strings.Builder
	seen map[string]uint32
}

func (s *stringTable) add(v string) uint32 {
	if at, ok := s.seen[v]; ok {
		return at
	}
	if s.seen == nil {
		s.seen = map[string]uint32{}
	}
	at := uint32(s.b.Len())
	s.b.WriteString(v)
	s.seen[v] = at
	return at
}
