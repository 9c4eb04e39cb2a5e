// SPDX-License-Identifier: Apache-2.0

// Package blocks holds a row of bytes in blocks, each compressed by itself, and
// decodes a block when bytes of it are read. A few decoded blocks are kept, and all
// are dropped a second after the last one was decoded.
package blocks

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sort"
	"sync"
	"time"
)

// minKept is the number of decoded blocks that are kept in any case.
const minKept = 4

// idle is how long decoded blocks are kept after the last one was decoded. The
// kernel keeps what has been read, so that reading is mostly over then.
const idle = time.Second

// A Block is a part of the row.
type Block struct {
	Start int64 // of its bytes in the row
	Size  int   // of its bytes
}

// An Error means that a block can't be decoded.
type Error struct {
	What          string // the kind of block, in words
	Block, Blocks int    // the first block is 0
	Err           error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %d of %d: %v", e.What, e.Block+1, e.Blocks, e.Err)
}

// Unwrap returns what decoding has failed with.
func (e *Error) Unwrap() error { return e.Err }

// A Reader reads a row of bytes. It is an io.ReaderAt; concurrent use is safe.
type Reader struct {
	what   string
	blocks []Block
	decode func(i int, buf []byte) ([]byte, error)

	largest int // size of the largest block
	keep    int // most decoded blocks that are kept

	mu      sync.Mutex
	kept    []*decoded  // the last one used comes first
	spare   [][]byte    // buffers of blocks that are not in use any more
	ahead   []bool      // blocks that may be decoded before they are read
	dropper *time.Timer // drops all blocks
}

// NewReader returns a Reader of the given blocks, which follow each other in the
// row; errors call one what. The Reader keeps decoded blocks of about keepBytes.
// decode returns the bytes of block i, in buf if they fit, and checks them; concurrent
// calls of it must be safe.
func NewReader(what string, blocks []Block, keepBytes int, decode func(i int, buf []byte) ([]byte, error)) *Reader {
	r := &Reader{what: what, blocks: blocks, decode: decode}
	for _, b := range blocks {
		r.largest = max(r.largest, b.Size)
	}
	r.keep = max(minKept, keepBytes/max(1, r.largest))
	return r
}

// DecodeAhead makes the Reader decode each block once before it is read, when the
// two blocks before it have been read in order. That pays where decoding is slow. It
// is called before the first ReadAt.
func (r *Reader) DecodeAhead() {
	r.ahead = slices.Repeat([]bool{true}, len(r.blocks))
}

// Add gives the Reader a block that has been decoded already. It is called before
// the first ReadAt.
func (r *Reader) Add(i int, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := &decoded{block: i, ready: make(chan struct{}), data: data, users: 1}
	close(d.ready)
	r.kept = append(r.kept, d)
	r.arm()
}

// Blocks returns the blocks of the row. They must not be changed.
func (r *Reader) Blocks() []Block { return r.blocks }

// Size returns the number of bytes in the row.
func (r *Reader) Size() int64 {
	if len(r.blocks) == 0 {
		return 0
	}
	last := r.blocks[len(r.blocks)-1]
	return last.Start + int64(last.Size)
}

// ReadAt reads the bytes at off, as io.ReaderAt says. An error other than io.EOF is
// an *Error.
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	i := sort.Search(len(r.blocks), func(i int) bool { return r.blocks[i].Start > off }) - 1
	for ; n < len(p); i++ {
		if i < 0 || i >= len(r.blocks) || off >= r.Size() {
			return n, io.EOF
		}
		d := r.decoded(i)
		if d.err != nil {
			r.unpin(d)
			return n, r.error(d)
		}
		m := copy(p[n:], d.data[off-r.blocks[i].Start:])
		r.unpin(d)
		n += m
		off += int64(m)
	}
	return n, nil
}

// Check decodes block i. The error is an *Error.
func (r *Reader) Check(i int) error {
	d := r.get(i)
	r.unpin(d)
	if d.err != nil {
		return r.error(d)
	}
	return nil
}

func (r *Reader) error(d *decoded) error { return &Error{r.what, d.block, len(r.blocks), d.err} }

// A decoded block is decoded by its first reader; others wait for ready.
type decoded struct {
	block int
	ready chan struct{}
	data  []byte
	err   error
	users int // guarded by Reader.mu; being kept counts as one
}

// decoded returns block i, which the caller must unpin.
func (r *Reader) decoded(i int) *decoded {
	if r.inOrder(i) {
		go func() { r.unpin(r.get(i + 1)) }()
	}
	return r.get(i)
}

// inOrder reports whether blocks are being read in order, so that the block after
// block i is decoded ahead. It reports it once for each block.
func (r *Reader) inOrder(i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i+1 >= len(r.ahead) || !r.ahead[i+1] || r.find(i-1) < 0 {
		return false
	}
	r.ahead[i+1] = false
	return true
}

// find returns where a block is in kept, or -1. It is called with mu held.
func (r *Reader) find(block int) int {
	return slices.IndexFunc(r.kept, func(d *decoded) bool { return d.block == block })
}

// get returns block i, pinned, and decodes it if nobody else does.
func (r *Reader) get(i int) *decoded {
	r.mu.Lock()
	if at := r.find(i); at >= 0 {
		d := r.kept[at]
		copy(r.kept[1:], r.kept[:at])
		r.kept[0] = d
		d.users++
		r.mu.Unlock()
		<-d.ready
		return d
	}
	if r.ahead != nil {
		r.ahead[i] = false
	}
	r.arm()
	d := &decoded{block: i, ready: make(chan struct{}), users: 2}
	if len(r.kept) == r.keep {
		last := len(r.kept) - 1
		r.unuse(r.kept[last])
		r.kept = r.kept[:last]
	}
	r.kept = append([]*decoded{d}, r.kept...)
	var buf []byte
	if n := len(r.spare); n > 0 {
		buf, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		buf = make([]byte, 0, r.largest)
	}
	r.mu.Unlock()

	d.data, d.err = r.decode(i, buf[:0])
	if size := r.blocks[i].Size; d.err == nil && len(d.data) != size {
		d.err = fmt.Errorf("decodes to %d bytes instead of %d", len(d.data), size)
	}
	if d.err != nil {
		r.forget(d) // the next reader tries again
	}
	close(d.ready)
	return d
}

// arm makes the blocks be dropped a while from now. It is called with mu held.
func (r *Reader) arm() {
	if r.dropper == nil {
		r.dropper = time.AfterFunc(idle, r.drop)
	}
	r.dropper.Reset(idle)
}

// drop drops all blocks and buffers, and gives their memory back. Readers that use
// a block keep it.
func (r *Reader) drop() {
	r.mu.Lock()
	r.kept, r.spare = nil, nil
	r.mu.Unlock()
	debug.FreeOSMemory()
}

func (r *Reader) unpin(d *decoded) {
	r.mu.Lock()
	r.unuse(d)
	r.mu.Unlock()
}

// forget takes a block out of kept.
func (r *Reader) forget(d *decoded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := slices.Index(r.kept, d); at >= 0 {
		r.kept = slices.Delete(r.kept, at, at+1)
		r.unuse(d)
	}
}

// unuse drops one use of a block; its buffer is used again after the last one. It is
// called with mu held.
func (r *Reader) unuse(d *decoded) {
	d.users--
	if d.users == 0 && cap(d.data) >= r.largest && len(r.spare) < 2 {
		r.spare = append(r.spare, d.data)
	}
}
