// SPDX-License-Identifier: Apache-2.0

// Package index opens an archive of kernel headers as a tree of files.
//
// A Tree is a table of names and a row of bytes. The table (package table) is the same
// wherever the bytes come from. The row (package blocks) lies in blocks, compressed
// each by itself, and is decoded as it is read: it is the archive itself, a cache file
// made of it, or memory.
//
// Parse reads how an archive is laid out, Open makes a Tree of it, Write a cache file
// of a Tree, and Verify decodes everything.
package index

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/kheadersfs/kheadersfs/index/blocks"
	"github.com/kheadersfs/kheadersfs/index/kernel"
	"github.com/kheadersfs/kheadersfs/index/table"
)

// What a Tree is made of, under the names by which its users know it.
type (
	// An ID is the place of an entry in the table.
	ID = table.ID
	// An Entry is one name in a Tree.
	Entry = table.Entry
	// A BlockError means that a block of a Tree's bytes can't be decoded.
	BlockError = blocks.Error
)

// Root is the top directory.
const Root = table.Root

// A Tree is the names, attributes and bytes of an archive's files. Its table never
// changes; where its bytes come from may. Concurrent use is safe.
type Tree struct {
	*table.Table
	// Hash is a SHA-256: of the archive, or of the data of all files if the archive
	// carries its index.
	Hash [32]byte

	row atomic.Pointer[row]

	filesMu  sync.Mutex
	files    []ID // nil until they are asked for
	hot      int
	includes includes // nil if unknown, or used

	mending sync.Mutex
	mend    func(cause error) error
}

// A row is where a tree's bytes come from.
type row struct {
	*blocks.Reader
	table *table.Table // the tree's, with the offsets of files in this row
	hot   int64        // the hot files lie before this offset; 0 if they may lie anywhere
}

func newTree(t *table.Table, hash [32]byte, r *row) *Tree {
	tree := &Tree{Table: t, Hash: hash}
	tree.row.Store(r)
	return tree
}

// ReadAt reads the bytes of a file at off, as io.ReaderAt says. The error is a
// *BlockError when the bytes are damaged; then p holds nothing to rely on.
func (t *Tree) ReadAt(id ID, p []byte, off int64) (int, error) {
	e := t.Entry(id)
	if !e.IsFile() || off < 0 {
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
		r := t.row.Load()
		_, err := r.ReadAt(p, r.table.Offset(id)+off)
		if err == nil {
			break
		}
		if err := t.mendRow(r, err); err != nil {
			return 0, err
		}
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

// Release returns the release of the kernel that the headers belong to, and nothing
// if they don't say. The error is that of reading it.
func (t *Tree) Release() (string, error) {
	id, ok := t.Find(kernel.ReleaseFile)
	if e := t.Entry(id); !ok || !e.IsFile() {
		return "", nil
	}
	b := make([]byte, 4096)
	n, err := t.ReadAt(id, b, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	return kernel.ParseRelease(b[:n]), nil
}

// Switch makes the bytes of t come from where those of another tree of the same
// archive come from. Reads that are under way end as they began.
func (t *Tree) Switch(to *Tree) error {
	r := to.row.Load()
	if t.Hash != to.Hash || !t.SameFiles(r.table) {
		return errors.New("not a tree of the same archive")
	}
	t.row.Store(r)
	return nil
}

// OnDamage has f called when bytes turn out to be damaged, with the error that the
// reader would get. The reader gets f's error instead; if f returns nil it has called
// Switch, and the bytes are read again. There is one call at a time.
func (t *Tree) OnDamage(f func(cause error) error) {
	t.mending.Lock()
	defer t.mending.Unlock()
	t.mend = f
}

// mendRow is called with a row in which something is damaged.
func (t *Tree) mendRow(bad *row, cause error) error {
	t.mending.Lock()
	defer t.mending.Unlock()
	if t.row.Load() != bad {
		return nil // another reader has had it mended
	}
	if t.mend == nil {
		return cause
	}
	if err := t.mend(cause); err != nil {
		return err
	}
	if t.row.Load() == bad {
		return cause
	}
	return nil
}
