// SPDX-License-Identifier: Apache-2.0

package index

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sort"
	"sync"
	"time"
)

// minCached is the number of decoded blocks that are kept in any case.
const minCached = 4

// idle is how long decoded blocks are kept when no other is decoded. The kernel
// keeps what has been read, so that it is mostly over then.
const idle = time.Second

// A BlockError tells that a block of file data can't be decoded.
type BlockError struct {
	Block int
	Err   error
}

func (e *BlockError) Error() string { return fmt.Sprintf("block %d: %v", e.Block, e.Err) }
func (e *BlockError) Unwrap() error { return e.Err }

// A store is a row of bytes that lies in blocks, each of which is decoded by
// itself and knows a checksum of its bytes.
type store struct {
	blocks []block
	// decode returns the bytes of block i, in buf if they fit. Any number of
	// calls may be under way.
	decode func(i int, buf []byte) ([]byte, error)

	largest int // size of the largest block
	keep    int // most decoded blocks to be kept

	mu     sync.Mutex
	cached []*decoded  // the one used last in front
	spare  [][]byte    // buffers of blocks that nobody uses any more
	unread []bool      // blocks that may be decoded before they are asked for
	idle   *time.Timer // of letting go of all blocks
}

type block struct {
	start int64 // of its bytes in the row
	size  int   // of its bytes
}

// newStore makes a store that keeps decoded blocks of about cacheBytes.
func newStore(blocks []block, cacheBytes int, decode func(i int, buf []byte) ([]byte, error)) *store {
	s := &store{blocks: blocks, decode: decode}
	for _, b := range blocks {
		s.largest = max(s.largest, b.size)
	}
	s.keep = max(minCached, cacheBytes/max(1, s.largest))
	return s
}

// readAhead has each block decoded once before it is asked for, when the two in
// front of it are. That pays where decoding is slow.
func (s *store) readAhead() {
	s.unread = slices.Repeat([]bool{true}, len(s.blocks))
}

// A decoded block is made by who asks for it first; the others wait for ready.
type decoded struct {
	block int
	ready chan struct{}
	data  []byte
	err   error
	users int // guarded by store.mu; the cache is one
}

// add takes in a block that has been decoded already.
func (s *store) add(i int, data []byte) {
	d := &decoded{block: i, ready: make(chan struct{}), data: data, users: 1}
	close(d.ready)
	s.cached = append(s.cached, d)
	s.arm()
}

// arm has all blocks dropped a while after the last one was decoded. It is called
// with mu held, or by who makes the store.
func (s *store) arm() {
	if s.idle == nil {
		s.idle = time.AfterFunc(idle, s.drop)
	}
	s.idle.Reset(idle)
}

// size is the number of bytes in the row.
func (s *store) size() int64 {
	if len(s.blocks) == 0 {
		return 0
	}
	last := s.blocks[len(s.blocks)-1]
	return last.start + int64(last.size)
}

// ReadAt is readAt as io.ReaderAt has it. Who asks for no more than there is
// gets all of it.
func (s *store) ReadAt(p []byte, off int64) (int, error) {
	if err := s.readAt(p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// readAt fills p with the bytes at off.
func (s *store) readAt(p []byte, off int64) error {
	i := sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].start > off }) - 1
	for len(p) > 0 {
		if i < 0 || i >= len(s.blocks) {
			return errors.New("read past the end of the data")
		}
		d := s.decoded(i)
		if d.err != nil {
			s.release(d)
			return &BlockError{i, d.err}
		}
		n := copy(p, d.data[off-s.blocks[i].start:])
		s.release(d)
		p = p[n:]
		off += int64(n)
		i++
	}
	return nil
}

// decoded returns block i, which is to be released.
func (s *store) decoded(i int) *decoded {
	if s.inOrder(i) {
		go func() { s.release(s.get(i + 1)) }()
	}
	return s.get(i)
}

// inOrder tells whether blocks are being read one after the other, so that the
// one behind block i had better be decoded now. It says so once for each.
func (s *store) inOrder(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i+1 >= len(s.unread) || !s.unread[i+1] || s.find(i-1) < 0 {
		return false
	}
	s.unread[i+1] = false
	return true
}

// find returns where a block is among those that are kept, -1 if it isn't. It is
// called with mu held.
func (s *store) find(block int) int {
	return slices.IndexFunc(s.cached, func(d *decoded) bool { return d.block == block })
}

func (s *store) get(i int) *decoded {
	s.mu.Lock()
	if at := s.find(i); at >= 0 {
		d := s.cached[at]
		copy(s.cached[1:], s.cached[:at])
		s.cached[0] = d
		d.users++
		s.mu.Unlock()
		<-d.ready
		return d
	}
	if s.unread != nil {
		s.unread[i] = false
	}
	s.arm()
	d := &decoded{block: i, ready: make(chan struct{}), users: 2}
	if len(s.cached) == s.keep {
		last := len(s.cached) - 1
		s.unuse(s.cached[last])
		s.cached = s.cached[:last]
	}
	s.cached = append([]*decoded{d}, s.cached...)
	var buf []byte
	if n := len(s.spare); n > 0 {
		buf, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		buf = make([]byte, 0, s.largest)
	}
	s.mu.Unlock()

	d.data, d.err = s.decode(i, buf[:0])
	if size := s.blocks[i].size; d.err == nil && len(d.data) != size {
		d.err = fmt.Errorf("decodes to %d bytes instead of %d", len(d.data), size)
	}
	if d.err != nil {
		s.forget(d) // the next reader tries again
	}
	close(d.ready)
	return d
}

// drop lets go of all blocks and buffers, and gives their memory back. Who reads
// one of them now goes on.
func (s *store) drop() {
	s.mu.Lock()
	s.cached, s.spare = nil, nil
	s.mu.Unlock()
	debug.FreeOSMemory()
}

func (s *store) release(d *decoded) {
	s.mu.Lock()
	s.unuse(d)
	s.mu.Unlock()
}

// forget takes a block out of the cache.
func (s *store) forget(d *decoded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, c := range s.cached {
		if c == d {
			s.cached = append(s.cached[:at], s.cached[at+1:]...)
			s.unuse(d)
			return
		}
	}
}

// unuse is called with mu held.
func (s *store) unuse(d *decoded) {
	d.users--
	if d.users == 0 && cap(d.data) >= s.largest && len(s.spare) < 2 {
		s.spare = append(s.spare, d.data)
	}
}
