// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/kheadersfs/kheadersfs/index"
)

// A listing is ".", "..", and the children of the directory. The offset of an
// entry is the number of entries before it.

func (s *server) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return s.readDir(in, func(e fuse.DirEntry, _ index.ID, _ bool) bool {
		return out.AddDirEntry(e)
	})
}

func (s *server) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return s.readDir(in, func(e fuse.DirEntry, id index.ID, child bool) bool {
		entry := out.AddDirLookupEntry(e)
		if entry != nil && child {
			s.fill(id, entry)
		}
		return entry != nil
	})
}

// readDir calls add for each entry from the offset on, until add returns false
// because the reply is full.
func (s *server) readDir(in *fuse.ReadIn, add func(e fuse.DirEntry, id index.ID, child bool) bool) fuse.Status {
	dir, ok := s.entry(in.NodeId)
	if !ok {
		return fuse.ENOENT
	}
	first, n := s.tree.Children(dir)
	for off := in.Offset; off < uint64(n)+2; off++ {
		id, name := dir, "."
		switch off {
		case 0:
		case 1:
			id, name = s.tree.Entry(dir).Parent, ".."
		default:
			id = first + index.ID(off-2)
		}
		e := s.tree.Entry(id)
		if off >= 2 {
			name = e.Name
		}
		d := fuse.DirEntry{Name: name, Mode: e.Mode, Ino: inode(&e), Off: off + 1}
		if !add(d, id, off >= 2) {
			break
		}
	}
	return fuse.OK
}
