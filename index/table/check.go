// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// check checks everything that must hold of a table from outside; its files lie in
// a row of the given size. It adds up Bytes.
func (t *Table) check(size int64) error {
	n := ID(t.Len())
	links := make([]uint32, n) // of each inode
	depth := make([]uint8, n)
	pathLen := make([]uint16, n)
	next := ID(1) // the first child of the next directory
	var before Entry
	for id := ID(0); id < n; id++ {
		r := t.record(id)
		if err := t.checkRecord(r, id); err != nil {
			return fmt.Errorf("entry %d: %w", id, err)
		}
		e := t.Entry(id)
		bad := func(what string) error { return fmt.Errorf("entry %d: %s", id, what) }
		switch {
		case id == Root && (!e.IsDir() || e.Parent != 0):
			return bad("the first entry is not the top directory")
		case id >= next:
			return bad("not among the children of its directory")
		case e.Nsec >= 1e9:
			return bad("impossible time")
		case e.Ino > id || e.Ino != id && t.record(e.Ino).ino() != e.Ino:
			return bad("impossible inode")
		}
		if id > Root { // its directory has been checked
			depth[id] = depth[e.Parent] + 1
			pathLen[id] = pathLen[e.Parent] + uint16(len(e.Name)) + 1
			if depth[id] > MaxDepth || pathLen[id] > MaxPath+1 {
				return bad("too deep")
			}
			if before.Parent == e.Parent && id-1 > Root && before.Name >= e.Name {
				return bad("out of order")
			}
		}
		before = e
		switch {
		case e.IsDir():
			if ID(e.at) != next || e.n > uint32(n-next) || e.Ino != id {
				return bad("impossible children")
			}
			for ; next-ID(e.at) < ID(e.n); next++ {
				if t.record(next).parent() != id {
					return fmt.Errorf("entry %d: not among the children of its directory", next)
				}
			}
			links[id] += 2
			links[e.Parent]++
			if id == Root {
				links[id]--
			}
			continue
		case e.Ino == id:
			if e.IsLink() {
				break
			}
			if int64(e.at) > size || e.Size > size-int64(e.at) {
				return bad("data lies outside of the archive")
			}
			t.Bytes += e.Size
		default:
			first := t.Entry(e.Ino)
			if first.Mode != e.Mode || first.at != e.at || first.n != e.n || first.Sec != e.Sec || first.Nsec != e.Nsec {
				return bad("differs from the first name of its inode")
			}
		}
		links[e.Ino]++
	}
	// Files in a tar don't overlap.
	if t.Bytes > size {
		return fmt.Errorf("files of %d bytes in an archive of %d", t.Bytes, size)
	}
	for id := ID(0); id < n; id++ {
		if e := t.Entry(id); e.Nlink != links[e.Ino] {
			return fmt.Errorf("entry %d: %d links instead of %d", id, e.Nlink, links[e.Ino])
		}
	}
	return nil
}

// checkRecord checks the parts of a record that Entry relies on.
func (t *Table) checkRecord(r record, id ID) error {
	inside := func(at, n uint32) bool { return uint64(at)+uint64(n) <= uint64(len(t.strings)) }
	switch {
	case r.kind() > kindLink:
		return fmt.Errorf("unknown kind %d", r.kind())
	case r[6] != 0 || r[7] != 0:
		return errors.New("reserved field is not zero")
	case !inside(binary.LittleEndian.Uint32(r), uint32(r[4])):
		return errors.New("name lies outside of the strings")
	case int64(r.ino()) >= int64(t.Len()):
		return errors.New("inode does not exist")
	}
	name := t.name(r)
	if bad := name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"); bad != (id == Root) || len(name) > 0 && id == Root {
		return fmt.Errorf("impossible name %q", name)
	}
	if r.kind() == kindLink {
		at, n := r.at(), r.n()
		if n == 0 || n > MaxTarget || !inside(at, n) || strings.IndexByte(t.strings[at:at+n], 0) >= 0 {
			return errors.New("impossible link target")
		}
	}
	return nil
}
