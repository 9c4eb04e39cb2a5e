// SPDX-License-Identifier: Apache-2.0

// Package fs serves an index.Tree to the kernel through FUSE.
//
// Nothing ever changes under a mount, so the kernel is told to keep whatever it
// is given for ever: names, names that are not there, attributes, directory
// listings, link targets and pages. OPEN, OPENDIR and FLUSH are answered with
// ENOSYS, after which the kernel doesn't send them any more. What has been read
// once is then read again without this process being asked. The entry with ID i
// has the node id i+1, so there are no inodes to make, look up, or forget.
package fs

import (
	"encoding/binary"
	"errors"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/kheadersfs/kheadersfs/index"
)

// forever is how long the kernel may keep what it is told, in seconds.
const forever = 1 << 31

// A server answers the kernel's requests, any number at once.
type server struct {
	fuse.RawFileSystem // answers ENOSYS to what is not defined below
	tree               *index.Tree
	generation         uint64 // a handle from another archive is never taken for ours
	log                *log.Logger
	ahead              atomic.Pointer[readAhead] // nil until the mount answers

	// Set by Init, before any other request. A kernel that doesn't take ENOSYS
	// for an answer (the flags are of Linux 3.16 and 5.1) is told to keep its
	// caches across OPEN and OPENDIR.
	noOpen, noOpendir bool

	mu      sync.Mutex
	damaged map[string]bool // what has been logged of blocks
}

func newServer(t *index.Tree, l *log.Logger) *server {
	return &server{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		tree:          t,
		generation:    binary.LittleEndian.Uint64(t.Hash[:]),
		log:           l,
		damaged:       map[string]bool{},
	}
}

func (s *server) String() string { return "kheadersfs" }

func (s *server) Init(f *fuse.Server) {
	flags := f.KernelSettings().Flags64()
	s.noOpen = flags&fuse.CAP_NO_OPEN_SUPPORT != 0
	s.noOpendir = flags&capNoOpendirSupport != 0
}

// entry returns the entry of a node id, which the kernel has from us.
func (s *server) entry(node uint64) (index.ID, bool) {
	return index.ID(node - 1), node-1 < uint64(s.tree.Len())
}

func (s *server) attr(id index.ID, a *fuse.Attr) {
	e := s.tree.Entry(id)
	a.Ino = uint64(e.Ino) + 1
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

func (s *server) fill(id index.ID, out *fuse.EntryOut) {
	out.NodeId = uint64(id) + 1
	out.Generation = s.generation
	out.EntryValid, out.AttrValid = forever, forever
	s.attr(id, &out.Attr)
}

func (s *server) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir, ok := s.entry(h.NodeId)
	if !ok {
		return fuse.ENOENT
	}
	id, ok := s.tree.Lookup(dir, name)
	if !ok {
		// Node 0 is a name that isn't there, and may be kept.
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

func (s *server) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	id, ok := s.entry(h.NodeId)
	if !ok {
		return nil, fuse.ENOENT
	}
	target := s.tree.Target(id)
	if target == "" {
		return nil, fuse.EINVAL
	}
	return []byte(target), fuse.OK
}

// Open reports EROFS to who wants to write, as far as the kernel asks: once it
// has been told ENOSYS it doesn't, and the write is refused instead.
func (s *server) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	switch {
	case in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY:
		return fuse.EROFS
	case s.noOpen:
		return fuse.ENOSYS
	}
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

func (s *server) OpenDir(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if s.noOpendir {
		return fuse.ENOSYS
	}
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_CACHE_DIR
	return fuse.OK
}

func (s *server) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	id, ok := s.entry(in.NodeId)
	if !ok {
		return nil, fuse.ENOENT
	}
	if a := s.ahead.Load(); a != nil {
		a.read(id)
	}
	n, err := s.tree.ReadAt(id, buf, int64(in.Offset))
	if err != nil && err != io.EOF {
		s.report(id, err)
		return nil, fuse.EIO
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// report logs why a file can't be read, once for each block of data.
func (s *server) report(id index.ID, err error) {
	var b *index.BlockError
	if errors.As(err, &b) {
		s.mu.Lock()
		known := s.damaged[err.Error()]
		s.damaged[err.Error()] = true
		s.mu.Unlock()
		if known {
			return
		}
	}
	s.log.Printf("reading %s: %v", s.tree.Path(id), err)
}

// A directory's stream is ".", "..", and its children. An offset is the number
// of entries in front.

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
		d := fuse.DirEntry{Name: name, Mode: e.Mode, Ino: uint64(e.Ino) + 1, Off: off + 1}
		if !add(d, id, off >= 2) {
			break
		}
	}
	return fuse.OK
}

func (s *server) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const block = 4096
	out.Bsize, out.Frsize = block, block
	out.Blocks = uint64(s.tree.Bytes+block-1) / block
	out.Files = uint64(s.tree.Len())
	out.NameLen = 255
	return fuse.OK
}

// Flush is sent at each close.
func (s *server) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }
