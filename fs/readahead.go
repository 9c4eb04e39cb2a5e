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
	// window is how many bytes of hot files are read ahead at a time.
	window = 512 << 10
	// maxWindows bounds what is read ahead at all. Of a kernel's headers ten
	// windows are hot.
	maxWindows = 62
)

// none is no entry.
const none = math.MaxUint32

// A readAhead reads files before a program asks for them, so that the kernel has
// their names and pages already: a compile opens hundreds of headers, one after
// the other, and waits for each. When a file is read that is hot, all files that
// lie in its window, and in the next one, are read, in a goroutine of its own.
//
// The files are read as any program reads them, but through a copy of the mount
// that nobody else sees: one that is being read from can't be unmounted.
type readAhead struct {
	tree *index.Tree
	dir  string // the mount point
	dev  uint64 // of the mount, as in stat(2)

	start   sync.Once
	hot     []index.ID
	windows atomic.Pointer[[]uint8] // of each entry: the number of its window, 0 if it is in none
	reading atomic.Uint32           // the entry that is read here, or none
	asked   atomic.Uint64           // a bit for each window
	ask     chan uint8
}

func newReadAhead(t *index.Tree, dir string, dev uint64) *readAhead {
	a := &readAhead{tree: t, dir: dir, dev: dev, ask: make(chan uint8, maxWindows+1)}
	a.reading.Store(none)
	return a
}

// read is told of each file of which bytes are asked for.
func (a *readAhead) read(id index.ID) {
	windows := a.windows.Load()
	if windows == nil {
		a.start.Do(func() { go a.run(id) })
		return
	}
	w := (*windows)[id]
	if w == 0 || a.reading.Load() == uint32(id) {
		return
	}
	for _, w := range []uint8{w, w + 1} {
		if bit := uint64(1) << w; a.asked.Or(bit)&bit == 0 {
			a.ask <- w // there is room for all that there are
		}
	}
}

// run reads ahead, for ever. first is the file that was read first.
func (a *readAhead) run(first index.ID) {
	a.hot = a.tree.Hot()
	windows := make([]uint8, a.tree.Len())
	size := int64(0)
	for _, id := range a.hot {
		if size >= maxWindows*window {
			break
		}
		windows[id] = uint8(1 + size/window)
		size += a.tree.Entry(id).Size
	}
	if closeFiles() != nil {
		return
	}
	a.windows.Store(&windows)
	a.read(first)
	for w := range a.ask {
		if err := a.fetch(w); err != nil {
			return // without the right to mount there is no copy
		}
	}
}

// closeFiles gives this goroutine a thread for itself, with a table of file
// descriptors of its own. If the process is killed while it waits for its own
// answer, the kernel waits on until nobody can answer any more: until /dev/fuse is
// closed. So the thread that waits must not hold it.
func closeFiles() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return err
	}
	// What has no type is Go's own, for its poller: every thread needs it.
	const most = 1024 // there are some ten
	for fd := 3; fd < most; fd++ {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT != 0 {
			unix.Close(fd)
		}
	}
	return nil
}

// fetch reads the files of a window.
func (a *readAhead) fetch(w uint8) error {
	mount, err := unix.OpenTree(unix.AT_FDCWD, a.dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_NO_AUTOMOUNT)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	var st unix.Stat_t
	if err := unix.Fstat(mount, &st); err != nil || st.Dev != a.dev {
		return err // something else is here now
	}
	windows := *a.windows.Load()
	buf := make([]byte, 128<<10)
	for _, id := range a.hot {
		if windows[id] != w {
			continue
		}
		a.reading.Store(uint32(id))
		fd, err := unix.Openat(mount, a.tree.Path(id), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		for n := 1; n > 0 && err == nil; {
			n, err = unix.Read(fd, buf)
		}
		unix.Close(fd)
	}
	a.reading.Store(none)
	return nil
}
