// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// The index of an archive that carries its own: docs/format.md has it.
const (
	indexMagic      = "khindex\x00"
	indexVersion    = 1
	indexHeaderSize = 64
	// maxIndex is the size of the largest index: bsdtar and Go read no larger
	// pax header.
	maxIndex = 1<<20 - 64
)

// errVersion is about an index of a version that we don't know. The archive is
// read as one that has none.
var errVersion = errors.New("an index of another version")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An Indexer makes the index of a tar that is being written.
type Indexer struct {
	b    *builder
	last *inode
}

// NewIndexer returns an Indexer of an empty tar.
func NewIndexer() *Indexer { return &Indexer{b: newBuilder()} }

// Add takes a member, which may be a file, a directory or a symbolic link, and
// the offset of its data in the tar.
func (x *Indexer) Add(h *tar.Header, off int64) error {
	in, err := newInode(h)
	if err != nil {
		return err
	}
	in.off = off
	x.last = in
	return x.b.add(h.Name, in)
}

// MoveLast changes the offset of the member that was added last.
func (x *Indexer) MoveLast(off int64) { x.last.off = off }

// Encode returns the index. Its size doesn't depend on offsets. content is the
// SHA-256 of the data of all files in the order of the tar; the hot files lie in
// front of the offset hot.
func (x *Indexer) Encode(content [32]byte, hot int64) ([]byte, error) {
	t := x.b.finish()
	b := encodeIndex(t.table, t.strings, content, hot)
	if len(b) > maxIndex {
		return nil, fmt.Errorf("the index of %d entries has %d bytes, more than the limit of %d", t.Len(), len(b), maxIndex)
	}
	return b, nil
}

func encodeIndex(table []byte, strings string, hash [32]byte, hot int64) []byte {
	b := make([]byte, indexHeaderSize, indexHeaderSize+len(table)+len(strings))
	copy(b, indexMagic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], indexVersion)
	le.PutUint32(b[16:], uint32(len(table)/entrySize))
	le.PutUint32(b[20:], uint32(len(strings)))
	le.PutUint64(b[24:], uint64(hot))
	copy(b[32:], hash[:])
	b = append(b, table...)
	b = append(b, strings...)
	le.PutUint32(b[12:], crc32.Checksum(b[16:], castagnoli))
	return b
}

// decodeIndex makes a Tree of an index, whose data lies in the store, in a tar of
// the given size. Everything in the index is checked, so that no later use can go
// wrong.
func decodeIndex(b []byte, size int64, s *store) (*Tree, error) {
	le := binary.LittleEndian
	if len(b) < indexHeaderSize || string(b[:8]) != indexMagic {
		return nil, errors.New("index: not one")
	}
	if v := le.Uint32(b[8:]); v != indexVersion {
		return nil, fmt.Errorf("index: %w: %d", errVersion, v)
	}
	if crc32.Checksum(b[16:], castagnoli) != le.Uint32(b[12:]) {
		return nil, errors.New("index: the checksum does not match")
	}
	entries, text := int64(le.Uint32(b[16:])), int64(le.Uint32(b[20:]))
	switch {
	case entries < 1 || entries > maxEntries:
		return nil, fmt.Errorf("index: %d entries, outside of the limits of 1 and %d", entries, maxEntries)
	case int64(len(b)) != indexHeaderSize+entries*entrySize+text:
		return nil, fmt.Errorf("index: %d bytes do not hold %d entries and %d bytes of names", len(b), entries, text)
	case le.Uint64(b[24:]) > uint64(size):
		return nil, errors.New("index: hot files outside of the archive")
	}
	table := b[indexHeaderSize:][:entries*entrySize]
	t := &Tree{table: table, strings: string(b[indexHeaderSize+len(table):])}
	copy(t.Hash[:], b[32:])
	if err := t.check(size); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	t.data.Store(&data{store: s, table: table, hot: int64(le.Uint64(b[24:]))})
	return t, nil
}

// check looks at all of a table that comes from outside. size is that of the
// data. On the way it adds up Bytes.
func (t *Tree) check(size int64) error {
	n := ID(t.Len())
	names := make([]uint32, n) // of each inode
	depth := make([]uint8, n)
	pathLen := make([]uint16, n)
	next := ID(1) // the first child of the next directory
	var before Entry
	for id := ID(0); id < n; id++ {
		r := t.record(id)
		if err := t.checkStrings(r, id); err != nil {
			return fmt.Errorf("entry %d: %w", id, err)
		}
		e := t.Entry(id)
		bad := func(what string) error { return fmt.Errorf("entry %d: %s", id, what) }
		switch {
		case id == Root && (!e.IsDir() || e.Parent != 0):
			return bad("the first one is not the top directory")
		case id >= next:
			return bad("is not among the children of its directory")
		case e.Nsec >= 1e9:
			return bad("an impossible time")
		case e.Ino > id || e.Ino != id && t.Entry(e.Ino).Ino != e.Ino:
			return bad("an impossible inode")
		}
		if id > Root { // and its directory has been here
			depth[id] = depth[e.Parent] + 1
			pathLen[id] = pathLen[e.Parent] + uint16(len(e.Name)) + 1
			if depth[id] > maxDepth || pathLen[id] > maxPath+1 {
				return bad("too deep")
			}
			if before.Parent == e.Parent && id-1 > Root && before.Name >= e.Name {
				return bad("is out of order")
			}
		}
		before = e
		switch {
		case e.IsDir():
			if ID(e.at) != next || e.n > uint32(n-next) || e.Ino != id {
				return bad("impossible children")
			}
			for ; next-ID(e.at) < ID(e.n); next++ {
				if t.parent(next) != id {
					return fmt.Errorf("entry %d: is not among the children of its directory", next)
				}
			}
			names[id] += 2
			names[e.Parent]++
			if id == Root {
				names[id]--
			}
			continue
		case e.Ino == id:
			if e.IsLink() {
				break
			}
			if int64(e.at) > size || e.Size > size-int64(e.at) {
				return bad("data outside of the archive")
			}
			t.Bytes += e.Size
		default:
			first := t.Entry(e.Ino)
			if first.Mode != e.Mode || first.at != e.at || first.n != e.n || first.Sec != e.Sec || first.Nsec != e.Nsec {
				return bad("is not the same as its inode's first name")
			}
		}
		names[e.Ino]++
	}
	// Files lie apart from each other in a tar.
	if t.Bytes > size {
		return fmt.Errorf("files of %d bytes in an archive of %d", t.Bytes, size)
	}
	for id := ID(0); id < n; id++ {
		if e := t.Entry(id); e.Nlink != names[e.Ino] {
			return fmt.Errorf("entry %d: %d links instead of %d", id, e.Nlink, names[e.Ino])
		}
	}
	return nil
}

// checkStrings looks at the parts of a record that Entry relies on.
func (t *Tree) checkStrings(r []byte, id ID) error {
	le := binary.LittleEndian
	inside := func(at, n uint32) bool { return uint64(at)+uint64(n) <= uint64(len(t.strings)) }
	switch {
	case r[5] > byte(kindLink):
		return fmt.Errorf("kind %d is not known", r[5])
	case r[6] != 0 || r[7] != 0:
		return errors.New("a reserved field is not zero")
	case !inside(le.Uint32(r), uint32(r[4])):
		return errors.New("a name outside of the names")
	case int(le.Uint32(r[12:])) >= t.Len():
		return errors.New("an inode that is not there")
	}
	name := t.name(r)
	if bad := name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"); bad != (id == Root) || len(name) > 0 && id == Root {
		return fmt.Errorf("the impossible name %q", name)
	}
	if kind(r[5]) == kindLink {
		at, n := le.Uint32(r[32:]), le.Uint32(r[36:])
		if n == 0 || n > maxTarget || !inside(at, n) || strings.IndexByte(t.strings[at:at+n], 0) >= 0 {
			return errors.New("an impossible link target")
		}
	}
	return nil
}

// parent returns the directory of an entry, as the entry says.
func (t *Tree) parent(id ID) ID { return ID(binary.LittleEndian.Uint32(t.record(id)[8:])) }
