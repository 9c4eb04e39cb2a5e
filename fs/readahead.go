// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
)

// window is how many bytes of hot files are read ahead at a time.
const window = 512 << 10

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
	reading atomic.Uint32           // the entry that is read here
	asked   atomic.Uint64           // a bit for each window
	ask     chan uint8
}

func newReadAhead(t *index.Tree, dir string, dev uint64) *readAhead {
	return &readAhead{tree: t, dir: dir, dev: dev, ask: make(chan uint8, 64)}
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
		// The mask has 64 bits, of which the lowest and highest are not used.
		windows[id] = uint8(min(1+size/window, 62))
		size += a.tree.Entry(id).Size
	}
	a.windows.Store(&windows)
	a.read(first)
	for w := range a.ask {
		if err := a.fetch(w, windows); err != nil {
			return // without the right to mount there is no copy
		}
	}
}

// fetch reads the files of a window.
func (a *readAhead) fetch(w uint8, windows []uint8) error {
	mount, err := unix.OpenTree(unix.AT_FDCWD, a.dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	var st unix.Stat_t
	if err := unix.Fstat(mount, &st); err != nil || st.Dev != a.dev {
		return err // something else is here now
	}
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
	return nil
}
