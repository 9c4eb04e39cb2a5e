// SPDX-License-Identifier: Apache-2.0

package lzma2

import (
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Reader decodes LZMA2 through a window that holds the dictionary and not much
// more, and hands out pieces of the window. It is for one goroutine
// at a time.
type Reader struct {
	d      Decoder
	window []byte
	pos    int    // where the next piece goes
	piece  int    // about the size of a piece
	rest   []byte // of the last piece, not yet read by Read
	err    error
}

// overshoot is how much further a piece may go than it was meant to (by a match
// but for its first byte), and how much may be written after that.
const overshoot = maxMatch + 32

// NewReader returns a Reader of src, which begins with a chunk. dict is the size
// of the dictionary that was declared, or the number of bytes that src decodes
// to if that is less. The Reader takes dict bytes, an eighth of that more
// (but 8 KB at least and 512 KB at most), 60 KB, and 2 MB if large pages are tried.
func NewReader(src []byte, dict int) *Reader {
	r := &Reader{piece: min(max(dict/16, 4<<10), 256<<10)}
	// A piece that begins at the start of the window replaces bytes that lie beyond the
	// dictionary's reach, and ends before the start of the piece before it.
	r.window = hugeBytes(max(dict, r.piece) + 2*r.piece + 3*overshoot)
	r.d.reset(src, dict)
	return r
}

// Next returns the next bytes, a few kilobytes at least if there are as many. They
// stay as they are until Next has been called twice more: the last piece may be
// read while the next one is being decoded. The error, which comes with no
// bytes, is io.EOF behind the end marker.
func (r *Reader) Next() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	if r.pos > len(r.window)-r.piece-overshoot {
		r.d.wrap = r.pos
		r.d.bias += r.pos
		r.pos = 0
	}
	start := r.pos
	r.pos, r.err = r.d.decode(r.window, start, start+r.piece)
	if r.err == errDone {
		r.err = io.EOF
	}
	if r.err != nil {
		smallPages(r.window)
	}
	if r.pos > start {
		return r.window[start:r.pos], nil
	}
	return nil, r.err
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (n int, err error) {
	if len(r.rest) == 0 && len(p) > 0 {
		if r.rest, err = r.Next(); err != nil {
			return 0, err
		}
	}
	n = copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Unused is the number of bytes of src that have not been needed yet; at the end,
// that are left over.
func (r *Reader) Unused() int { return len(r.d.src) - r.d.at }

const hugePage = 2 << 20

// hugeBytes returns n zero bytes, in pages of 2 MiB if the kernel has some: matches
// reach all over the window, and the processor knows where few pages are.
func hugeBytes(n int) []byte {
	if n < hugePage {
		return make([]byte, n)
	}
	b := make([]byte, n+hugePage)
	at := -int(uintptr(unsafe.Pointer(&b[0]))) & (hugePage - 1)
	b = b[at:][:n:n]
	unix.Madvise(b[:n&^(hugePage-1)], unix.MADV_HUGEPAGE)
	return b
}

// smallPages has what comes to lie where these bytes are now take the usual pages,
// and no more memory than it needs.
func smallPages(b []byte) {
	if len(b) >= hugePage {
		unix.Madvise(b[:len(b)&^(hugePage-1)], unix.MADV_NOHUGEPAGE)
	}
}
