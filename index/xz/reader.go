// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"hash"
	"io"
	"sync"

	"github.com/kheadersfs/kheadersfs/index/xz/lzma2"
)

// BlockReader decodes block i (the first one is 0). io.EOF comes only once
// the block's size and check have been found right; all other errors are
// *BlockError. Bytes that were returned before such an error may be wrong.
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
	rest  []byte // decoded, but not read yet
	err   error

	// The check takes a tenth of the time that decoding takes. It is made beside
	// decoding the next bytes, by goroutines that end by themselves.
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

// next decodes some more bytes. They may come together with an error, of
// which they are innocent.
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
		err = formatErrorf("decodes to more bytes than its index tells")
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
		return formatErrorf("decodes to %d bytes less than its index tells", r.left)
	}
	if r.raw.cut {
		return formatErrorf("its check is cut short")
	}
	if n := r.lzma2.Unused(); n > 0 {
		return formatErrorf("%d bytes of compressed data are left over", n)
	}
	return r.raw.compare(r.hash)
}

// Head decodes the first bytes of block i into p without its check being looked
// at, and returns how many there were. It takes some tens of kilobytes, and
// serves to tell what is packed here.
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

// FileHead is Head of the first block that isn't empty.
func (f *File) FileHead(p []byte) int {
	for i, b := range f.Blocks {
		if b.Length > 0 {
			return f.Head(i, p)
		}
	}
	return 0
}
