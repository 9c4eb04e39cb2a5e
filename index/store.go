// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

const (
	// blockSize is the most bytes that one block decodes to. Larger blocks are
	// smaller compressed, and cost more for who wants one file of them.
	blockSize = 128 << 10
	// cacheBlocks is the number of decoded blocks that are kept: what is read
	// next is mostly next to what was read last.
	cacheBlocks = 16
)

// A BlockError tells that a block of file data can't be decoded.
type BlockError struct {
	Block int
	Err   error
}

func (e *BlockError) Error() string { return fmt.Sprintf("block %d: %v", e.Block, e.Err) }
func (e *BlockError) Unwrap() error { return e.Err }

// A store holds file data as a row of zstd frames (RFC 8878), each with the
// checksum that the format has for it. A file larger than a block begins one.
type store struct {
	blocks []block
	zstd   *zstd.Decoder

	mu     sync.Mutex
	cached []*decoded // the one used last in front
	spare  [][]byte   // buffers of blocks that nobody uses any more
}

type block struct {
	start  int64 // of its bytes in the row
	size   int   // of its bytes
	packed []byte
}

// A decoded block is made by who asks for it first; the others wait for ready.
type decoded struct {
	block int
	ready chan struct{}
	data  []byte
	err   error
	users int // guarded by store.mu; the cache is one
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
	s.mu.Lock()
	for at, d := range s.cached {
		if d.block == i {
			copy(s.cached[1:], s.cached[:at])
			s.cached[0] = d
			d.users++
			s.mu.Unlock()
			<-d.ready
			return d
		}
	}
	d := &decoded{block: i, ready: make(chan struct{}), users: 2}
	if len(s.cached) == cacheBlocks {
		last := len(s.cached) - 1
		s.unuse(s.cached[last])
		s.cached = s.cached[:last]
	}
	s.cached = append([]*decoded{d}, s.cached...)
	var buf []byte
	if n := len(s.spare); n > 0 {
		buf, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		buf = make([]byte, 0, blockSize)
	}
	s.mu.Unlock()

	b := s.blocks[i]
	d.data, d.err = s.zstd.DecodeAll(b.packed, buf[:0])
	if d.err == nil && len(d.data) != b.size {
		d.err = fmt.Errorf("decodes to %d bytes instead of %d", len(d.data), b.size)
	}
	if d.err != nil {
		s.forget(d) // the next reader tries again
	}
	close(d.ready)
	return d
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
	if d.users == 0 && cap(d.data) >= blockSize && len(s.spare) < cacheBlocks {
		s.spare = append(s.spare, d.data)
	}
}

// A packer makes a store of the files that it is given one after the other.
type packer struct {
	store   *store
	zstd    *zstd.Encoder
	start   int64 // of the block that is being filled
	buf     []byte
	scratch []byte
	discard bool
}

// newPacker returns a packer; one that discards keeps nothing, and is for who
// only wants to know whether everything can be read.
func newPacker(discard bool) (*packer, error) {
	if discard {
		return &packer{discard: true, buf: make([]byte, 0, blockSize)}, nil
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(blockSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(blockSize), zstd.WithDecoderMaxWindow(blockSize))
	if err != nil {
		return nil, err
	}
	return &packer{zstd: enc, store: &store{zstd: dec}, buf: make([]byte, 0, blockSize)}, nil
}

// add begins a file of the given size, and returns the offset of its data.
func (p *packer) add(size int64) (off int64, err error) {
	if size > blockSize-int64(len(p.buf)) {
		p.flush() // blocks are cut between files
	}
	off = p.start + int64(len(p.buf))
	if size > xz.MaxUnpacked-off {
		return 0, fmt.Errorf("more than the limit of %d bytes", int64(xz.MaxUnpacked))
	}
	return off, nil
}

// ReadFrom takes in the file's data.
func (p *packer) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		if len(p.buf) == blockSize {
			p.flush()
		}
		m, err := r.Read(p.buf[len(p.buf):blockSize])
		p.buf = p.buf[:len(p.buf)+m]
		n += int64(m)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// flush ends a block.
func (p *packer) flush() {
	if len(p.buf) == 0 {
		return
	}
	if !p.discard {
		p.scratch = p.zstd.EncodeAll(p.buf, p.scratch[:0])
		p.store.blocks = append(p.store.blocks, block{p.start, len(p.buf), bytes.Clone(p.scratch)})
	}
	p.start += int64(len(p.buf))
	p.buf = p.buf[:0]
}

// finish returns the store. The packer is used up.
func (p *packer) finish() *store {
	p.flush()
	return p.store
}
