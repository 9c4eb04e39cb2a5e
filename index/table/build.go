// SPDX-License-Identifier: Apache-2.0

package table

import (
	"archive/tar"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits on what an archive may name, checked before memory is taken.
const (
	MaxEntries = 1 << 18  // the whole kernel source has 90,000
	MaxName    = 255      // bytes, NAME_MAX
	MaxPath    = 4095     // bytes, PATH_MAX without the NUL
	MaxTarget  = 4095     // bytes of a link's target
	MaxDepth   = 128      // directories
	MaxStrings = 16 << 20 // bytes of all names and targets; the kernel source has 2 MB
)

// A Builder takes the members of a tar in their order and makes a Table. The rules
// for a name that comes twice are those of extracting with tar, where they are
// harmless: the later file wins, a directory changes its own attributes only.
type Builder struct {
	root    *node
	entries int
	strings int // bytes of names and targets
}

// A node is one name; several nodes may share an inode.
type node struct {
	*inode
	name     string
	children map[string]*node // of a directory
}

type inode struct {
	kind   kind
	named  bool // by the archive; a directory may be only part of a path
	mtime  time.Time
	off    int64 // in the row
	size   int64
	target string

	// Set by Table.
	id    ID
	nlink uint32
}

// NewBuilder returns a Builder that has only the root.
func NewBuilder() *Builder {
	return &Builder{
		root:    &node{inode: &inode{kind: kindDir}, children: map[string]*node{}},
		entries: 1,
	}
}

func (n *node) isDir() bool { return n.kind == kindDir }

// Add takes a member. The bytes of a file begin at off in the row; off is ignored
// for other members.
func (b *Builder) Add(h *tar.Header, off int64) error {
	if h.Typeflag == tar.TypeLink {
		return b.link(h.Name, h.Linkname)
	}
	in, err := newInode(h)
	if err != nil {
		return err
	}
	in.off = off
	return b.add(h.Name, in)
}

// newInode returns the inode of a file, a directory, or a symbolic link; no other
// member can have one.
func newInode(h *tar.Header) (*inode, error) {
	in := &inode{named: true, mtime: h.ModTime}
	if in.mtime.IsZero() {
		in.mtime = time.Unix(0, 0)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont:
		if isSparse(h) {
			return nil, errors.New("sparse files are not supported")
		}
		in.kind, in.size = kindFile, h.Size
		if h.Mode&0o111 != 0 {
			in.kind = kindExec
		}
	case tar.TypeDir:
		in.kind = kindDir
	case tar.TypeSymlink:
		in.kind, in.target = kindLink, h.Linkname
		switch {
		case in.target == "":
			return nil, errors.New("symbolic link without a target")
		case strings.IndexByte(in.target, 0) >= 0:
			return nil, errors.New("symbolic link whose target contains a NUL")
		case len(in.target) > MaxTarget:
			return nil, fmt.Errorf("symbolic link whose target exceeds %d bytes", MaxTarget)
		}
	case tar.TypeGNUSparse:
		return nil, errors.New("sparse files are not supported")
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return nil, errors.New("devices and FIFOs are not supported")
	default:
		return nil, fmt.Errorf("members of type %q are not supported", h.Typeflag)
	}
	return in, nil
}

// isSparse recognizes the sparse files of GNU tar in the pax format, which
// archive/tar shows as regular ones.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// add puts a member at its name.
func (b *Builder) add(name string, in *inode) error {
	if err := b.count(in.target); err != nil {
		return err
	}
	dir, base, err := b.parent(name)
	if err != nil {
		return err
	}
	if base == "" {
		if in.kind != kindDir {
			return errors.New("the top directory is not a directory")
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
		return errors.New("replaces a directory that is not empty")
	default:
		old.inode, old.children = in, nil
		if in.kind == kindDir {
			old.children = map[string]*node{}
		}
	}
	return nil
}

// link gives the file that target names now a second name.
func (b *Builder) link(name, target string) error {
	names, err := splitPath(target)
	if err != nil {
		return fmt.Errorf("target of the hard link: %w", err)
	}
	n := b.root
	for _, name := range names {
		n = n.children[name]
		if n == nil {
			return fmt.Errorf("hard link to %q, which does not exist before it", target)
		}
	}
	if n.isDir() {
		return fmt.Errorf("hard link to the directory %q", target)
	}
	return b.add(name, n.inode)
}

// parent returns the directory of a member and its name there, which is empty for
// the root. Directories on the way are made.
func (b *Builder) parent(path string) (dir *node, base string, err error) {
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

func (b *Builder) insert(dir *node, name string, in *inode) error {
	if b.entries >= MaxEntries {
		return fmt.Errorf("more than %d entries", MaxEntries)
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

// count adds a name or target to the total.
func (b *Builder) count(s string) error {
	if b.strings += len(s); b.strings > MaxStrings {
		return fmt.Errorf("names and link targets exceed %d MiB", MaxStrings>>20)
	}
	return nil
}

// splitPath splits a member's name. "./" and empty names are dropped; what could
// lead out of the tree is refused.
func splitPath(path string) ([]string, error) {
	switch {
	case path == "":
		return nil, errors.New("empty name")
	case len(path) > MaxPath:
		return nil, fmt.Errorf("path exceeds %d bytes", MaxPath)
	case path[0] == '/':
		return nil, errors.New("absolute name")
	case strings.IndexByte(path, 0) >= 0:
		return nil, errors.New("NUL in a name")
	}
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == ".":
			continue
		case name == "..":
			return nil, errors.New(`".." in a name`)
		case len(name) > MaxName:
			return nil, fmt.Errorf("name exceeds %d bytes", MaxName)
		}
		names = append(names, name)
	}
	if len(names) > MaxDepth {
		return nil, fmt.Errorf("more than %d directories deep", MaxDepth)
	}
	return names, nil
}
