// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"syscall"
	"testing"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

func testServer(t testing.TB, names ...string) *server {
	t.Helper()
	var members []tartest.Member
	for _, name := range append(names, "dir/one.h", "dir/two.h") {
		members = append(members, tartest.File(name, "abc").Mode(0o600))
	}
	archive := tartest.XZ(t, tartest.Tar(t, members...), 0)
	tree, err := index.Open(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	return newServer(tree, log.New(io.Discard, "", 0))
}

// TestOldKernel opens files for a kernel that does not accept ENOSYS to OPEN and
// OPENDIR: it keeps its caches because of flags.
func TestOldKernel(t *testing.T) {
	s := testServer(t)
	var out fuse.OpenOut
	if st := s.Open(nil, &fuse.OpenIn{}, &out); st != fuse.OK || out.OpenFlags != fuse.FOPEN_KEEP_CACHE {
		t.Errorf("OPEN: %v, flags %#x", st, out.OpenFlags)
	}
	if st := s.Open(nil, &fuse.OpenIn{Flags: syscall.O_RDWR}, &out); st != fuse.EROFS {
		t.Errorf("OPEN to write: %v", st)
	}
	if st := s.OpenDir(nil, &fuse.OpenIn{}, &out); st != fuse.OK || out.OpenFlags != fuse.FOPEN_KEEP_CACHE|fuse.FOPEN_CACHE_DIR {
		t.Errorf("OPENDIR: %v, flags %#x", st, out.OpenFlags)
	}
	s.noOpen, s.noOpendir = true, true
	if st := s.Open(nil, &fuse.OpenIn{}, &out); st != fuse.ENOSYS {
		t.Errorf("OPEN: %v", st)
	}
	if st := s.OpenDir(nil, &fuse.OpenIn{}, &out); st != fuse.ENOSYS {
		t.Errorf("OPENDIR: %v", st)
	}
}

// TestNodes asks for nodes that do not exist, as no kernel should.
func TestNodes(t *testing.T) {
	s := testServer(t)
	for _, node := range []uint64{0, uint64(s.tree.Len()) + 1, 1 << 32, 1<<64 - 1} {
		h := fuse.InHeader{NodeId: node}
		if st := s.Lookup(nil, &h, "dir", &fuse.EntryOut{}); st != fuse.ENOENT {
			t.Errorf("LOOKUP in %d: %v", node, st)
		}
		if st := s.GetAttr(nil, &fuse.GetAttrIn{InHeader: h}, &fuse.AttrOut{}); st != fuse.ENOENT {
			t.Errorf("GETATTR of %d: %v", node, st)
		}
		if _, st := s.Readlink(nil, &h); st != fuse.ENOENT {
			t.Errorf("READLINK of %d: %v", node, st)
		}
		if _, st := s.Read(nil, &fuse.ReadIn{InHeader: h}, make([]byte, 10)); st != fuse.ENOENT {
			t.Errorf("READ of %d: %v", node, st)
		}
		if st := s.ReadDir(nil, &fuse.ReadIn{InHeader: h}, fuse.NewDirEntryList(make([]byte, 1000), 0)); st != fuse.ENOENT {
			t.Errorf("READDIR of %d: %v", node, st)
		}
	}
}

// TestReadDir lists with buffers of every size: each entry once, in order.
func TestReadDir(t *testing.T) {
	s := testServer(t)
	id, _ := s.tree.Find("dir")
	for _, plus := range []bool{false, true} {
		for size := 200; size < 1200; size += 8 {
			var names []string
			for off := uint64(0); ; {
				buf := make([]byte, size)
				list := fuse.NewDirEntryList(buf, off)
				in := &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: nodeID(id)}, Offset: off}
				if plus {
					s.ReadDirPlus(nil, in, list)
				} else {
					s.ReadDir(nil, in, list)
				}
				listed := direntNames(buf, plus)
				if len(listed) == 0 {
					break
				}
				names = append(names, listed...)
				off = list.Offset
			}
			if len(names) != 4 || names[0] != "." || names[1] != ".." || names[2] != "one.h" || names[3] != "two.h" {
				t.Fatalf("plus %v, buffer of %d: %q", plus, size, names)
			}
		}
	}
}

// direntNames returns the names in a reply to READDIR or READDIRPLUS: struct
// fuse_dirent of linux/fuse.h, behind a fuse_entry_out in the latter.
func direntNames(buf []byte, plus bool) (names []string) {
	for {
		if plus {
			buf = buf[min(len(buf), int(unsafe.Sizeof(fuse.EntryOut{}))):]
		}
		if len(buf) < 24 {
			return names
		}
		n := int(binary.NativeEndian.Uint32(buf[16:]))
		if n == 0 { // nothing was written here
			return names
		}
		names = append(names, string(buf[24:24+n]))
		buf = buf[(24+n+7)&^7:]
	}
}

// BenchmarkReadDirPlus lists 1,002 files, a page at a time.
func BenchmarkReadDirPlus(b *testing.B) {
	s, dir := manyFiles(b)
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		for off := uint64(0); off < 1004; {
			list := fuse.NewDirEntryList(buf, off)
			s.ReadDirPlus(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: dir}, Offset: off}, list)
			off = list.Offset
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	s, dir := manyFiles(b)
	h, out := &fuse.InHeader{NodeId: dir}, new(fuse.EntryOut)
	b.ReportAllocs()
	for b.Loop() {
		s.Lookup(nil, h, "500.h", out)
	}
}

// manyFiles returns a server with a directory of 1,002 files, and its node id.
func manyFiles(b *testing.B) (*server, uint64) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("dir/%d.h", i))
	}
	s := testServer(b, names...)
	id, _ := s.tree.Find("dir")
	return s, nodeID(id)
}

// TestOwnThread keeps the first thread of the process as it is.
func TestOwnThread(t *testing.T) {
	for range 200 {
		tid := make(chan int)
		onOwnThread(func() { tid <- syscall.Gettid() })
		if <-tid == syscall.Getpid() {
			t.Fatal("on the first thread")
		}
	}
}
