// SPDX-License-Identifier: Apache-2.0

// Package index shows an archive of kernel headers as a tree of files.
//
// A Tree is one flat table: an entry for each name, the children of a
// directory together and sorted, parents in front of their children. Looking a
// name up is a binary search, listing is walking on, and nothing is allocated
// for either. File data lies in small blocks, compressed each by itself, and is
// decompressed as it is read.
//
// What a Tree tells doesn't change once it has been made, and all methods may be
// called by any number of goroutines at once. Where its data lies may change.
package index

import (
	"encoding/binary"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// An ID is the place of an entry in the table. It is the same whenever the
// same archive is loaded.
type ID uint32

// Root is the top directory.
const Root ID = 0

// A Tree is the names, attributes and data of an archive's files.
type Tree struct {
	// Hash is a SHA-256: of the archive, or of the data of all files if the
	// archive carries its index.
	Hash [32]byte
	// Bytes is the size of all files together, a hard link counting once.
	Bytes int64

	table   []byte // entrySize bytes an entry
	strings string // names and link targets
	packed  bool
	data    atomic.Pointer[data]

	hotMu sync.Mutex
	hot   []ID

	mending sync.Mutex
	mend    func(cause error) error
}

// data is the bytes of a tree's files.
type data struct {
	*store
	table []byte // as the tree's, with the offsets of files in this store
	// The hot files lie in front of this offset, in their order; 0 if they may
	// lie anywhere.
	hot int64
}

// An Entry is one name in a Tree.
type Entry struct {
	Name   string // without its directory; empty for the root
	Parent ID
	Mode   uint32 // file type and permissions, as in stat(2)
	Ino    ID     // of the first name of this file
	Nlink  uint32
	Sec    int64 // modification time since 1970, with
	Nsec   uint32
	Size   int64 // bytes of a file, of a link's target; 0 for a directory

	at uint32 // first child, offset in the data, or offset of the target
	n  uint32 // children, bytes of data, or bytes of the target
}

// IsDir tells whether the entry is a directory.
func (e *Entry) IsDir() bool { return e.Mode&syscall.S_IFMT == syscall.S_IFDIR }

// IsLink tells whether the entry is a symbolic link.
func (e *Entry) IsLink() bool { return e.Mode&syscall.S_IFMT == syscall.S_IFLNK }

// The table holds entries of this layout, all numbers little endian:
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
//	32  u32  first child, offset in the data, or offset of the target in the strings
//	36  u32  number of children, size of the data, or length of the target
const entrySize = 40

type kind byte

const (
	kindDir kind = iota
	kindFile
	kindExec // a file with an x bit
	kindLink
)

// modes are the same for all entries of a kind: what the archive says is
// whatever umask its builder had.
var modes = [...]uint32{
	kindDir:  syscall.S_IFDIR | 0o755,
	kindFile: syscall.S_IFREG | 0o644,
	kindExec: syscall.S_IFREG | 0o755,
	kindLink: syscall.S_IFLNK | 0o777,
}

// HasIndex tells whether the tree comes from an index that the archive carries,
// and its data is decoded as it is read.
func (t *Tree) HasIndex() bool { return t.packed }

// Len is the number of entries. IDs are below it.
func (t *Tree) Len() int { return len(t.table) / entrySize }

// Entry returns the entry with the given ID, which must be below Len.
func (t *Tree) Entry(id ID) Entry {
	b := t.record(id)
	le := binary.LittleEndian
	e := Entry{
		Name:   t.name(b),
		Parent: ID(le.Uint32(b[8:])),
		Mode:   modes[b[5]],
		Ino:    ID(le.Uint32(b[12:])),
		Nlink:  le.Uint32(b[16:]),
		Nsec:   le.Uint32(b[20:]),
		Sec:    int64(le.Uint64(b[24:])),
		at:     le.Uint32(b[32:]),
		n:      le.Uint32(b[36:]),
	}
	if !e.IsDir() {
		e.Size = int64(e.n)
	}
	return e
}

func (t *Tree) record(id ID) []byte {
	return t.table[int(id)*entrySize:][:entrySize:entrySize]
}

func (t *Tree) name(record []byte) string {
	return t.strings[binary.LittleEndian.Uint32(record):][:record[4]]
}

// Children returns the ID of a directory's first child and the number of
// children; their IDs follow each other in the order of their names.
func (t *Tree) Children(dir ID) (first ID, n int) {
	e := t.Entry(dir)
	if !e.IsDir() {
		return 0, 0
	}
	return ID(e.at), int(e.n)
}

// Lookup finds a name in a directory.
func (t *Tree) Lookup(dir ID, name string) (ID, bool) {
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

// Find follows a path of names divided by slashes from the root, which itself
// is ".". Symbolic links are not followed.
func (t *Tree) Find(path string) (ID, bool) {
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
func (t *Tree) Path(id ID) string {
	if id == Root {
		return "."
	}
	e := t.Entry(id)
	if e.Parent == Root {
		return e.Name
	}
	return t.Path(e.Parent) + "/" + e.Name
}

// Target returns what a symbolic link holds, nothing for other entries.
func (t *Tree) Target(id ID) string {
	e := t.Entry(id)
	if !e.IsLink() {
		return ""
	}
	return t.strings[e.at:][:e.n]
}

// ReadAt reads the bytes of a file from off on. It returns io.EOF when it
// reaches the file's end before p is full, as io.ReaderAt does, and *BlockError
// when the data is damaged; then p holds nothing to be relied on.
func (t *Tree) ReadAt(id ID, p []byte, off int64) (int, error) {
	e := t.Entry(id)
	if e.IsDir() || e.IsLink() || off < 0 {
		return 0, syscall.EINVAL
	}
	if off >= e.Size {
		return 0, io.EOF
	}
	short := int64(len(p)) > e.Size-off
	if short {
		p = p[:e.Size-off]
	}
	for {
		d := t.data.Load()
		err := d.readAt(p, d.offset(id)+off)
		if err == nil {
			break
		}
		if err := t.mendData(d, err); err != nil {
			return 0, err
		}
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

// Release returns the kernel release that the headers are of, from
// include/generated/utsrelease.h; nothing if that isn't there. The error is that
// of reading it.
func (t *Tree) Release() (string, error) {
	id, ok := t.Find("include/generated/utsrelease.h")
	if e := t.Entry(id); !ok || e.IsDir() || e.IsLink() {
		return "", nil
	}
	b := make([]byte, 4096)
	n, err := t.ReadAt(id, b, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	_, rest, _ := strings.Cut(string(b[:n]), "#define UTS_RELEASE \"")
	release, _, ok := strings.Cut(rest, "\"")
	if !ok {
		return "", nil
	}
	return release, nil
}
