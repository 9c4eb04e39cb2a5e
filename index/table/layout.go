// SPDX-License-Identifier: Apache-2.0

package table

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"
)

// Table returns the table of the members so far. More may be added afterwards.
func (b *Builder) Table() *Table {
	setTimes(b.root)

	// Breadth first, so that the children of a directory lie together and
	// after it.
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

	t := &Table{records: make([]byte, len(order)*recordSize)}
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

// setTimes gives each directory that the archive doesn't name the newest time of
// what lies below it, and returns the newest time of dir.
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
