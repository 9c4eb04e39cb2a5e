// SPDX-License-Identifier: Apache-2.0

// Package table holds the names and attributes of an archive's files in one flat
// table: an entry for each name, the children of a directory together and sorted,
// parents before their children. Looking a name up is a binary search, listing is
// walking on, and nothing is allocated for either. Of the bytes of files a Table
// knows only where they begin in the row that holds them.
//
// A Builder makes a Table from the members of a tar, Decode from an index
// (kheadersfs-archive(5)). A Table never changes; concurrent use is safe.
package table

import (
	"bytes"
	"encoding/binary"
	"strings"
	"syscall"
)

// An ID is the place of an entry in the table. The same archive gives the same IDs.
type ID uint32

// Root is the top directory.
const Root ID = 0

// A Table is the names and attributes of an archive's files.
type Table struct {
	// Bytes is the size of all files together, a hard link counting once.
	Bytes int64

	records []byte // recordSize bytes each
	strings string // names and link targets
}

// An Entry is one name in a Table.
type Entry struct {
	Name   string // without its directory; empty for the root
	Parent ID
	Mode   uint32 // file type and permissions, as in stat(2)
	Ino    ID     // of the first name of this file
	Nlink  uint32
	Sec    int64 // modification time since 1970, with
	Nsec   uint32
	Size   int64 // bytes of a file, or of a link's target; 0 for a directory

	at uint32 // first child, offset in the row, or offset of the target
	n  uint32 // children, bytes of the file, or bytes of the target
}

// IsDir reports whether the entry is a directory.
func (e *Entry) IsDir() bool { return e.Mode&syscall.S_IFMT == syscall.S_IFDIR }

// IsFile reports whether the entry is a regular file.
func (e *Entry) IsFile() bool { return e.Mode&syscall.S_IFMT == syscall.S_IFREG }

// IsLink reports whether the entry is a symbolic link.
func (e *Entry) IsLink() bool { return e.Mode&syscall.S_IFMT == syscall.S_IFLNK }

// A record is an entry as it lies in the table, all numbers little endian:
//
//	 0  u32  offset of the name in the strings
//	 4  u8   length of the name
//	 5  u8   kind
//	 6  u16  0
//	 8  u32  parent
//	12  u32  inode: the first entry of this file
//	16  u32  link count
//	20  u32  modification time, nanoseconds
//	24  i64  modification time, seconds since 1970
//	32  u32  first child, offset in the row, or offset of the target in the strings
//	36  u32  number of children, size of the file, or length of the target
type record []byte

const recordSize = 40

type kind byte

const (
	kindDir kind = iota
	kindFile
	kindExec // a file with an x bit
	kindLink
)

func (k kind) isFile() bool { return k == kindFile || k == kindExec }

// modes are the same for all entries of a kind: the permissions in an archive
// follow the umask that it was made with.
var modes = [...]uint32{
	kindDir:  syscall.S_IFDIR | 0o755,
	kindFile: syscall.S_IFREG | 0o644,
	kindExec: syscall.S_IFREG | 0o755,
	kindLink: syscall.S_IFLNK | 0o777,
}

func (r record) kind() kind    { return kind(r[5]) }
func (r record) parent() ID    { return ID(binary.LittleEndian.Uint32(r[8:])) }
func (r record) ino() ID       { return ID(binary.LittleEndian.Uint32(r[12:])) }
func (r record) at() uint32    { return binary.LittleEndian.Uint32(r[32:]) }
func (r record) n() uint32     { return binary.LittleEndian.Uint32(r[36:]) }
func (r record) setAt(v int64) { binary.LittleEndian.PutUint32(r[32:], uint32(v)) }

func (t *Table) record(id ID) record {
	return t.records[int(id)*recordSize:][:recordSize:recordSize]
}

func (t *Table) name(r record) string {
	return t.strings[binary.LittleEndian.Uint32(r):][:r[4]]
}

// Len returns the number of entries. IDs are below it.
func (t *Table) Len() int { return len(t.records) / recordSize }

// Entry returns the entry with the given ID, which must be below Len.
func (t *Table) Entry(id ID) Entry {
	r := t.record(id)
	le := binary.LittleEndian
	e := Entry{
		Name:   t.name(r),
		Parent: r.parent(),
		Mode:   modes[r.kind()],
		Ino:    r.ino(),
		Nlink:  le.Uint32(r[16:]),
		Nsec:   le.Uint32(r[20:]),
		Sec:    int64(le.Uint64(r[24:])),
		at:     r.at(),
		n:      r.n(),
	}
	if !e.IsDir() {
		e.Size = int64(e.n)
	}
	return e
}

// Children returns the ID of a directory's first child and the number of children;
// their IDs follow each other in the order of their names.
func (t *Table) Children(dir ID) (first ID, n int) {
	r := t.record(dir)
	if r.kind() != kindDir {
		return 0, 0
	}
	return ID(r.at()), int(r.n())
}

// Lookup finds a name in a directory.
func (t *Table) Lookup(dir ID, name string) (ID, bool) {
	first, n := t.Children(dir)
	lo, hi := first, first+ID(n)
	for lo < hi {
		mid := lo + (hi-lo)/2
		switch c := strings.Compare(t.name(t.record(mid)), name); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0, false
}

// Find follows a path of names divided by slashes from the root, which itself is
// ".". Symbolic links are not followed.
func (t *Table) Find(path string) (ID, bool) {
	id := Root
	if path == "." {
		return id, true
	}
	for name := range strings.SplitSeq(path, "/") {
		var ok bool
		if id, ok = t.Lookup(id, name); !ok {
			return 0, false
		}
	}
	return id, true
}

// Path returns the path of an entry from the root, which itself is ".".
func (t *Table) Path(id ID) string {
	if id == Root {
		return "."
	}
	e := t.Entry(id)
	if e.Parent == Root {
		return e.Name
	}
	return t.Path(e.Parent) + "/" + e.Name
}

// Target returns the target of a symbolic link, and nothing for other entries.
func (t *Table) Target(id ID) string {
	r := t.record(id)
	if r.kind() != kindLink {
		return ""
	}
	return t.strings[r.at():][:r.n()]
}

// Offset returns where the bytes of a file begin in the row.
func (t *Table) Offset(id ID) int64 { return int64(t.record(id).at()) }

// Moved returns a copy of the table for a row in which each file begins at the
// offset that its inode has in offsets.
func (t *Table) Moved(offsets map[ID]int64) *Table {
	moved := &Table{Bytes: t.Bytes, records: bytes.Clone(t.records), strings: t.strings}
	for id := range ID(t.Len()) {
		if r := moved.record(id); r.kind().isFile() {
			r.setAt(offsets[r.ino()])
		}
	}
	return moved
}

// Equal reports whether two tables are the same.
func (t *Table) Equal(o *Table) bool {
	return t.strings == o.strings && bytes.Equal(t.records, o.records)
}

// SameFiles reports whether two tables are the same, but for where the bytes of
// files lie.
func (t *Table) SameFiles(o *Table) bool {
	if t.strings != o.strings || len(t.records) != len(o.records) {
		return false
	}
	for id := range ID(t.Len()) {
		a, b := t.record(id), o.record(id)
		if !bytes.Equal(a[:32], b[:32]) || !bytes.Equal(a[36:], b[36:]) {
			return false
		}
		if !a.kind().isFile() && a.at() != b.at() {
			return false
		}
	}
	return true
}
