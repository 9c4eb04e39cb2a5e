// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/kheadersfs/kheadersfs/index"
)

// The kernel names a file by its node id. The entry with ID i has the node id
// i+1, and the root is node 1 (FUSE_ROOT_ID), so there are no inodes to make,
// to look up, or to forget. Node ids, inode numbers, attributes and the
// generation are made in this file only.

// forever is how long the kernel may keep an answer, in seconds.
const forever = 1 << 31

func nodeID(id index.ID) uint64 { return uint64(id) + 1 }

// entry returns the entry of a node id. It reports false if there is none.
func (s *server) entry(node uint64) (index.ID, bool) {
	return index.ID(node - 1), node-1 < uint64(s.tree.Len())
}

// inode returns the inode number, which all names of a file share.
func inode(e *index.Entry) uint64 { return nodeID(e.Ino) }

func (s *server) attr(id index.ID, a *fuse.Attr) {
	e := s.tree.Entry(id)
	a.Ino = inode(&e)
	a.Mode = e.Mode
	a.Nlink = e.Nlink
	a.Size = uint64(e.Size)
	if e.IsDir() {
		a.Size = 4096
	}
	a.Blocks = (a.Size + 511) / 512
	a.Blksize = 4096
	a.Atime, a.Mtime, a.Ctime = uint64(e.Sec), uint64(e.Sec), uint64(e.Sec)
	a.Atimensec, a.Mtimensec, a.Ctimensec = e.Nsec, e.Nsec, e.Nsec
}

// fill answers a lookup. The generation is of the archive, so that a file handle
// (name_to_handle_at(2), NFS) of another archive is never taken for one of this.
func (s *server) fill(id index.ID, out *fuse.EntryOut) {
	out.NodeId = nodeID(id)
	out.Generation = s.generation
	out.EntryValid, out.AttrValid = forever, forever
	s.attr(id, &out.Attr)
	s.push.knows(id)
}

func (s *server) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir, ok := s.entry(h.NodeId)
	if !ok {
		return fuse.ENOENT
	}
	id, ok := s.tree.Lookup(dir, name)
	if !ok {
		// Node 0 says that the name does not exist, and that the kernel may
		// remember this.
		out.EntryValid = forever
		return fuse.OK
	}
	s.fill(id, out)
	return fuse.OK
}

func (s *server) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	id, ok := s.entry(in.NodeId)
	if !ok {
		return fuse.ENOENT
	}
	out.AttrValid = forever
	s.attr(id, &out.Attr)
	return fuse.OK
}
