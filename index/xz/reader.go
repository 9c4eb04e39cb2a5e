// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"hash"
	"io"
	"sync"

	"github.com/kheadersfs/kheadersfs/index/xz/lzma2"
)

// BlockReader returns a reader that decodes block i (the first one is 0). It
// returns io.EOF if the size and the check of the block match; any other error is
// a *BlockError. The bytes before a *BlockError may be wrong.
func (f *File) BlockReader(i int) io.Reader {
	r, err := f.newBlockReader(i)
	if err != nil {
		return &errReader{f.blockError(i, err)}
	}
	return r
}

type errReader struct{ err error }

func (r *errReader) Read([]byte) (int, error) { return 0, r.err }

type blockReader struct {
	f     *File
	i     int
	raw   *rawBlock
	lzma2 *lzma2.Reader
	left  int64  // bytes not decoded yet
	rest  []byte // decoded, not read yet
	err   error

	// Computing the check takes a tenth of the time of decoding. A goroutine adds
	// some bytes to the hash while the next ones are decoded, and ends by itself.
	hash    hash.Hash
	hashing sync.WaitGroup
}

func (f *File) newBlockReader(i int) (*blockReader, error) {
	raw, err := f.raw(i)
	if err != nil {
		return nil, err
	}
	return &blockReader{
		f: f, i: i, raw: raw, left: f.Blocks[i].Length,
		lzma2: lzma2.NewReader(raw.data, raw.dict),
		hash:  raw.kind.newHash(),
	}, nil
}

func (r *blockReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 && len(p) > 0 {
		if r.err == nil {
			r.rest, r.err = r.next()
		}
		if len(r.rest) == 0 {
			return 0, r.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next decodes some more bytes. It may return them together with an error, which
// does not concern them.
func (r *blockReader) next() ([]byte, error) {
	p, err := r.lzma2.Next()
	r.hashing.Wait()
	switch {
	case err == io.EOF:
		if err = r.finish(); err == nil {
			return nil, io.EOF
		}
	case err != nil:
		err = lzmaError(err)
	case int64(len(p)) > r.left:
		p = p[:r.left]
		err = formatErrorf("decodes to more bytes than the index says")
	}
	if err != nil {
		return p, r.f.blockError(r.i, err)
	}
	r.left -= int64(len(p))
	if r.hash != nil {
		r.hashing.Go(func() { r.hash.Write(p) })
	}
	return p, nil
}

// finish checks the whole block.
func (r *blockReader) finish() error {
	if r.left > 0 {
		return formatErrorf("decodes to %d bytes less than the index says", r.left)
	}
	if r.raw.cut {
		return formatErrorf("check is cut short")
	}
	if n := r.lzma2.Unused(); n > 0 {
		return formatErrorf("%d bytes of compressed data are left over", n)
	}
	return r.raw.compare(r.hash)
}

// Head decodes the first bytes of block i into p, and returns how many it decoded.
// It does not check the block, and allocates some tens of kilobytes. The bytes
// serve to recognize what the file holds.
func (f *File) Head(i int, p []byte) int {
	raw := f.data[f.Blocks[i].Offset:]
	h, err := parseBlockHeader(raw)
	if err != nil {
		return 0
	}
	r := lzma2.NewReader(raw[h.size:], max(len(p), 4<<10))
	n, _ := io.ReadFull(r, p)
	return n
}

// FileHead is Head of the first block that is not empty.
func (f *File) FileHead(p []byte) int {
	for i, b := range f.Blocks {
		if b.Length > 0 {
			return f.Head(i, p)
		}
	}
	return 0
}
