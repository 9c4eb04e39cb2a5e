// SPDX-License-Identifier: Apache-2.0

// Package fs serves an index.Tree to the kernel through FUSE.
//
// Nothing changes under a mount, so the kernel may keep what it receives for
// ever: names, names that do not exist, attributes, directory listings, link
// targets and pages. OPEN, OPENDIR and FLUSH are answered with ENOSYS, after
// which the kernel stops sending them. What has been read once is then read
// again without a request to this process; only STATFS and LISTXATTR, of which
// the kernel keeps no answer, are sent each time.
package fs

import (
	"encoding/binary"
	"log"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/kheadersfs/kheadersfs/index"
)

// capNoOpendirSupport is FUSE_NO_OPENDIR_SUPPORT of linux/fuse.h.
const capNoOpendirSupport = 1 << 24

// A server answers the kernel's requests, any number at once.
type server struct {
	fuse.RawFileSystem // answers ENOSYS to what is not defined below
	tree               *index.Tree
	generation         uint64
	log                *log.Logger
	push               *pusher

	// Init sets these before any other request. A kernel that does not accept
	// ENOSYS (the flags are of Linux 3.16 and 5.1) keeps its caches across
	// OPEN and OPENDIR instead.
	noOpen, noOpendir bool

	mu      sync.Mutex
	damaged map[int]bool // blocks whose damage has been logged
}

func newServer(t *index.Tree, l *log.Logger) *server {
	return &server{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		tree:          t,
		generation:    binary.LittleEndian.Uint64(t.Hash[:]),
		push:          newPusher(t),
		log:           l,
		damaged:       map[int]bool{},
	}
}

func (s *server) String() string { return "kheadersfs" }

func (s *server) Init(f *fuse.Server) {
	flags := f.KernelSettings().Flags64()
	s.noOpen = flags&fuse.CAP_NO_OPEN_SUPPORT != 0
	s.noOpendir = flags&capNoOpendirSupport != 0
	s.push.store = f.InodeNotifyStoreCache
}

// Forget tells that the kernel has dropped a file.
func (s *server) Forget(node, _ uint64) {
	if id, ok := s.entry(node); ok {
		s.push.forgets(id)
	}
}

// Open returns EROFS when the file is opened for writing. A kernel that has
// received ENOSYS no longer asks, and the write itself fails instead.
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

// Flush is sent at each close.
func (s *server) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }

// ListXAttr returns an empty list, as the kernel's own filesystems do. The kernel
// asks each time; with ENOSYS it would not, but then some clients warn or fail.
// GETXATTR is answered with ENOSYS, and is sent once.
func (s *server) ListXAttr(<-chan struct{}, *fuse.InHeader, []byte) (uint32, fuse.Status) {
	return 0, fuse.OK
}

// StatFs reports no blocks and no inodes, as procfs and sysfs do: with blocks of
// which none is free, as squashfs reports, the mount looks like a full disk.
func (s *server) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize = 4096, 4096
	out.NameLen = 255
	return fuse.OK
}
