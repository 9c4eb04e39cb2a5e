// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
)

const (
	// window is how many bytes of hot files are prefetched at a time.
	window = 512 << 10
	// maxWindows is the most windows that are prefetched. The hot files of a kernel
	// fill ten.
	maxWindows = 62
	// MaxPrefetch is the most bytes that are prefetched.
	MaxPrefetch = maxWindows * window
)

// none stands for no entry.
const none = math.MaxUint32

// A prefetcher reads files before a program asks for them, so that the kernel
// already has their names and pages: a compiler opens hundreds of headers, one
// after the other, and waits for each. When a hot file is read, a goroutine reads
// all files of its window and of the next one.
//
// It reads them as any program does, but through a private copy of the mount:
// a mount with an open file cannot be unmounted.
type prefetcher struct {
	tree *index.Tree
	dir  string // the mount point
	dev  uint64 // of the mount, as in stat(2)

	start   sync.Once
	hot     []index.ID
	windows atomic.Pointer[[]uint8] // the window of each entry, 0 for none
	reading atomic.Uint32           // the entry that fetch is reading, or none
	asked   atomic.Uint64           // a bit for each window
	ask     chan uint8              // with room for every window
}

func newPrefetcher(t *index.Tree, dir string, dev uint64) *prefetcher {
	p := &prefetcher{tree: t, dir: dir, dev: dev, ask: make(chan uint8, maxWindows+1)}
	p.reading.Store(none)
	return p
}

// read is called for each READ request. It does not block.
func (p *prefetcher) read(id index.ID) {
	windows := p.windows.Load()
	if windows == nil {
		p.start.Do(func() { onOwnThread(func() { p.run(id) }) })
		return
	}
	w := (*windows)[id]
	if w == 0 || p.reading.Load() == uint32(id) {
		return
	}
	for _, w := range []uint8{w, w + 1} {
		if bit := uint64(1) << w; p.asked.Or(bit)&bit == 0 {
			p.ask <- w
		}
	}
}

// run prefetches, on a thread of its own, until the process ends. first is the file that
// was read first.
func (p *prefetcher) run(first index.ID) {
	p.hot = p.tree.Hot()
	windows := make([]uint8, p.tree.Len())
	size := int64(0)
	for _, id := range p.hot {
		if size >= MaxPrefetch {
			break
		}
		windows[id] = uint8(1 + size/window)
		size += p.tree.Entry(id).Size
	}
	if closeFiles() != nil {
		return
	}
	p.windows.Store(&windows)
	p.read(first)
	for w := range p.ask {
		if err := p.fetch(w); err != nil {
			return // without the right to mount there is no copy
		}
	}
}

// onOwnThread runs f on a thread of its own, which ends with f. It is never the first
// thread of the process, whose descriptors /proc/PID/fd shows.
func onOwnThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// As long as this goroutine keeps the first thread, f gets another one.
		started := make(chan struct{})
		onOwnThread(func() {
			close(started)
			f()
		})
		<-started
		runtime.UnlockOSThread()
	}()
}

// closeFiles gives this thread a table of file descriptors of its own, without
// /dev/fuse. If the process is killed while the thread waits for an answer of this very process, the thread ends only when
// the request is aborted, and the kernel aborts it when /dev/fuse is closed: the
// thread must not keep it open.
func closeFiles() error {
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return err
	}
	// Descriptors without a file type are those of Go's poller, which every
	// thread needs.
	const most = 1024 // there are about ten
	for fd := 3; fd < most; fd++ {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT != 0 {
			unix.Close(fd)
		}
	}
	return nil
}

// fetch reads the files of a window.
func (p *prefetcher) fetch(w uint8) error {
	mount, err := unix.OpenTree(unix.AT_FDCWD, p.dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_NO_AUTOMOUNT)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	var st unix.Stat_t
	if err := unix.Fstat(mount, &st); err != nil || uint64(st.Dev) != p.dev {
		return err // another mount has taken the place of ours
	}
	windows := *p.windows.Load()
	buf := make([]byte, 128<<10)
	for _, id := range p.hot {
		if windows[id] != w {
			continue
		}
		p.reading.Store(uint32(id))
		fd, err := unix.Openat(mount, p.tree.Path(id), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		for n := 1; n > 0 && err == nil; {
			n, err = unix.Read(fd, buf)
		}
		unix.Close(fd)
	}
	p.reading.Store(none)
	return nil
}
