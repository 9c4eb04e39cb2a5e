// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
)

const (
	// window is how many bytes of files are pushed at a time.
	window = 512 << 10
	// maxAhead is how many windows are pushed ahead of one that is read in order.
	maxAhead = 4
	// milestone is how far apart the files are that are never pushed, so that their READs tell
	// how far a program has come. Hot files have none: compilers are slow.
	milestone = 32
	// gap is how many files after the one that was read last are left to the reader, who may
	// be about to read them.
	gap = 2 * milestone
	// hotGap is the same in the order of compilers.
	hotGap = 16
	// again is how long after a window was pushed a READ of one of its files means that
	// the kernel has dropped it.
	again = time.Second
)

// A request is a READ of a file.
type request struct {
	id  index.ID
	had bool // the kernel has had the file before
}

// A pusher gives files to the kernel before a program asks for them: a compiler opens
// hundreds of headers, one after the other, and waits for each. When a file is read, all
// files of its window are pushed (FUSE_NOTIFY_STORE) of which the kernel knows the name, and
// then those of the next window; of more windows, when they are read in order.
//
// Nobody waits for a push. Content never changes, so it does no harm if a program reads the
// same bytes at the same time. But a push waits for a page that is just being read, so that a
// process which is being frozen or killed would not get out of it. So what a program may be
// about to read is left to it; where it is, READs of the milestones tell.
type pusher struct {
	tree  *index.Tree
	store func(node uint64, off int64, data []byte) fuse.Status
	state []atomic.Uint32 // of each entry
	start sync.Once
	ask   chan request // for files

	pushing sync.Mutex // held while the kernel is called; for ever when another server goes on

	place  []int32       // of each file in the order of pushing, which is that of a compiler
	window []int32       // of each file
	last   atomic.Uint32 // the file that was read last
}

// What the kernel has of an entry.
const (
	known = 1 << iota // its name and attributes, and so a place for its pages
	given             // its pages, or they are in a batch
	asked             // it has asked for its pages
)

func newPusher(t *index.Tree) *pusher {
	return &pusher{
		tree: t, state: make([]atomic.Uint32, t.Len()),
		ask: make(chan request, 64), place: make([]int32, t.Len()), window: make([]int32, t.Len()),
	}
}

// knows is called when the kernel gets the name of a file.
func (p *pusher) knows(id index.ID) { p.state[id].Or(known) }

// forgets is called when the kernel has dropped a file.
func (p *pusher) forgets(id index.ID) { p.state[id].Store(0) }

// read is called for each READ request, before it is answered. It does not block.
func (p *pusher) read(id index.ID) {
	had := p.state[id].Or(known|given|asked)&given != 0
	p.last.Store(uint32(id))
	p.start.Do(func() { go p.run() })
	select {
	case p.ask <- request{id, had}:
	default: // much else is to be pushed
	}
}

// isNext reports whether a program may be about to read a file, or is reading it. Programs
// read a directory in its order, which is that of IDs, or as a compiler does.
func (p *pusher) isNext(id index.ID) bool {
	last := index.ID(p.last.Load())
	near := func(distance, most int32) bool { return distance >= 0 && distance <= most }
	return near(int32(id)-int32(last), gap) || near(p.place[id]-p.place[last], hotGap)
}

// A push is a part of a file. It lies in a batch's buffer.
type push struct {
	id   index.ID
	off  int64
	data []byte
}

// A batch is what is handed to the thread that pushes, and comes back when it is done.
type batch struct {
	buf    []byte
	pushes []push
}

// stop waits until nothing is pushed, and nothing is from then on. Requests must still be
// answered.
func (p *pusher) stop() { p.pushing.Lock() }

// assume takes it that the kernel may know every file, since somebody else has served the
// mount before.
func (p *pusher) assume() {
	for i := range p.state {
		p.state[i].Store(known)
	}
}

// run pushes until the process ends.
func (p *pusher) run() {
	windows, hot := p.cut()
	if len(windows) == 0 {
		return // what is damaged is not pushed
	}
	pushed := make([]time.Time, len(windows)) // when each window was pushed last
	full, empty := make(chan *batch), make(chan *batch, 2)
	for range cap(empty) {
		empty <- &batch{buf: make([]byte, 0, maxRead)}
	}
	onOwnThread(func() { p.pushAll(full, empty) })
	ahead, current := 1, 0 // how many windows are pushed ahead of the current one
	for r := range p.ask {
		w := int(p.window[r.id])
		last := w + 1
		if w >= hot {
			switch {
			case w > current && w <= current+ahead+1:
				ahead = min(2*ahead, maxAhead)
			case w != current:
				ahead = 1
			}
			current = w
			last = w + ahead
		}
		for i := w; i <= last && i < len(windows); i++ {
			if time.Since(pushed[i]) >= again {
				pushed[i] = time.Now()
				if r.had {
					p.forgetPages(windows[i], r.id)
				}
			} else if i > w {
				continue
			}
			// Of the window itself the kernel may know more names by now.
			p.push(windows[i], full, empty)
		}
	}
}

// forgetPages takes it that the kernel has dropped the pages of a window's files, but for the
// one that was read just now.
func (p *pusher) forgetPages(files []index.ID, read index.ID) {
	for _, id := range files {
		if id != read {
			p.state[id].And(^uint32(given | asked))
		}
	}
}

// cut cuts the row of all files into windows, the first of which are hot.
func (p *pusher) cut() (windows [][]index.ID, hot int) {
	files, hotFiles := p.tree.Files()
	size := int64(0)
	for i, id := range files {
		n := p.tree.Entry(id).Size
		if size += n; windows == nil || size > window || i == hotFiles {
			windows = append(windows, nil)
			size = n
		}
		last := len(windows) - 1
		if i < hotFiles || id%milestone != 0 {
			windows[last] = append(windows[last], id)
		}
		p.place[id], p.window[id] = int32(i), int32(last)
		if i < hotFiles {
			hot = len(windows)
		}
	}
	return windows, hot
}

// push hands over the files that the kernel knows and has not been given.
func (p *pusher) push(files []index.ID, full, empty chan *batch) {
	b := <-empty
	for _, id := range files {
		if !p.state[id].CompareAndSwap(known, known|given) {
			continue
		}
		size := p.tree.Entry(id).Size
		for off := int64(0); off < size; {
			// The kernel takes whole pages only, and the end of a file.
			n := int(min(size-off, int64(cap(b.buf))))
			start := len(b.buf)
			if start+n > cap(b.buf) {
				full <- b
				b = <-empty
				start = 0
			}
			part := b.buf[start : start+n]
			if _, err := p.tree.ReadAt(id, part, off); err != nil && err != io.EOF {
				break // whoever reads it gets the error
			}
			b.buf = b.buf[:start+n]
			b.pushes = append(b.pushes, push{id, off, part})
			off += int64(n)
		}
	}
	if len(b.pushes) == 0 { // as for most READs
		empty <- b
		return
	}
	full <- b
}

// pushAll pushes what is in full batches.
func (p *pusher) pushAll(full, empty chan *batch) {
	device := []unix.PollFd{{Fd: ownDescriptors(), Events: unix.POLLIN}}
	for b := range full {
		for _, push := range b.pushes {
			p.give(push, device)
		}
		b.buf, b.pushes = b.buf[:0], b.pushes[:0]
		empty <- b
	}
}

// give pushes one part of a file, unless a program has asked for the file, or may do so next.
// First it calls the kernel, which can freeze this thread there, to see that no request waits
// to be read.
func (p *pusher) give(push push, device []unix.PollFd) {
	p.pushing.Lock()
	defer p.pushing.Unlock()
	for {
		device[0].Revents = 0
		unix.Poll(device, 0)
		if device[0].Revents&unix.POLLIN == 0 {
			break
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 1000}, nil)
	}
	switch {
	case p.state[push.id].Load()&asked != 0:
	case p.isNext(push.id):
		p.state[push.id].And(^uint32(given))
	case p.store(nodeID(push.id), push.off, push.data) == fuse.ENOENT:
		p.state[push.id].Store(0) // the kernel has dropped the file
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

// ownDescriptors gives this thread a table of file descriptors of its own, with nothing but the
// device, which it returns, and the standard streams. A push waits for a page that is just being
// read; if the process is killed then, only the next server's answer ends this thread. It must not
// keep the pipe open at which a holder sees the end of this process, nor a copy of the mount.
func ownDescriptors() (device int32) {
	own := unix.Unshare(unix.CLONE_FILES) == nil
	device = -1       // which poll(2) ignores
	const most = 1024 // there are about ten
	for fd := 3; fd < most; fd++ {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			continue
		}
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFCHR && uint64(st.Rdev) == unix.Mkdev(10, 229):
			device = int32(fd)
		case kind != 0 && own: // those without a type are of Go's poller
			unix.Close(fd)
		}
	}
	return device
}
