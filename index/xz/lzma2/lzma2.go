// SPDX-License-Identifier: Apache-2.0

// Package lzma2 decodes raw LZMA2, the filter 0x21 of .xz files, from memory:
// with Decoder.Decode all of it into one buffer, with Reader piece by piece
// through a window of bounded size. Both run the same code.
//
// LZMA2 is a row of chunks, each of them LZMA or plain bytes. The .xz file format
// 1.2.1 names it in section 5.3.1, "The .xz file format" in XZ Embedded's
// documentation (Documentation/staging/xz.rst of the kernel) says what a decoder may
// rely on, and lzma-specification.txt of the LZMA SDK describes LZMA: a range coder below
// a model of 14,000 adaptive probabilities. Decoding is one long chain of
// multiplications and decisions; bits.go has what makes that fast.
//
// Input is taken to be hostile: whatever it is, decoding ends, stays within the
// buffers, and allocates nothing beyond the window.
package lzma2

import (
	"errors"
	"fmt"
	"io"
)

// ErrFormat means that the input is damaged, or not LZMA2. errors.Is finds it in every
// such error, and io.ErrUnexpectedEOF as well where the input is cut short.
var ErrFormat = errors.New("damaged LZMA2")

// A formatError says what is wrong at which byte of the compressed data.
type formatError struct {
	at   int
	what string
	cut  bool
}

func (e *formatError) Error() string {
	return fmt.Sprintf("LZMA2 byte %d: %s", e.at, e.what)
}

func (e *formatError) Is(target error) bool {
	return target == ErrFormat || e.cut && target == io.ErrUnexpectedEOF
}

// errDone is what decode returns after the end marker.
var errDone = errors.New("done")

// A Decoder decodes LZMA2 into a buffer. It takes 56 KB, needs no set-up, and can
// be used again and again, by one goroutine at a time.
type Decoder struct {
	src []byte
	at  int // of the next byte of src that belongs to no chunk yet

	// Rules of chunks.
	needDict  bool // the next chunk must reset the dictionary
	needProps bool // the next LZMA chunk must bring lc, lp and pb

	// The chunk at hand.
	left   int // bytes that it still decodes to
	packed bool
	in     []byte // of LZMA: its compressed data, as far as it is there
	size   int    // of its compressed data; more than len(in): src is cut short
	start  int    // of its compressed data, in src

	// The dictionary: the bytes of out (see symbols) before pos.
	dict int  // the largest distance that is allowed
	bias int  // what to add to pos for the bytes since the dictionary was reset
	wrap int  // where out was left for its start again, 0: it was not yet
	prev byte // the last byte, 0 after a reset

	// LZMA, as it stands between two symbols.
	lc, lpMask, pbMask uint
	state              uint
	reps               [4]uint // the last distances, less 1
	rng, code          uint64  // the range coder
	inAt               int     // of the next byte of in
	probs              [numProbs]uint32
}

// Decode decodes src, which begins with a chunk, up to and with its end marker
// into dst. n is the number of bytes it decoded to, used that of src's bytes
// it took; after an error, dst[:n] is what could be decoded. dict is the
// size of the dictionary that was declared. All of dst may be written to.
func (d *Decoder) Decode(dst, src []byte, dict int) (n, used int, err error) {
	d.reset(src, dict)
	n, err = d.decode(dst, 0, len(dst))
	used = d.at
	d.src, d.in = nil, nil
	if err == errDone {
		return n, used, nil
	}
	return n, used, err
}

func (d *Decoder) reset(src []byte, dict int) {
	d.src, d.at, d.dict = src, 0, dict
	d.in, d.left, d.bias, d.wrap = nil, 0, 0, 0
	d.needDict, d.needProps = true, true
}

// decode decodes to out[pos:] until limit is reached, and then by at most maxMatch-1
// bytes more unless limit is the end of out. It returns where
// it got to, and errDone after the end marker.
func (d *Decoder) decode(out []byte, pos, limit int) (int, error) {
	for {
		if d.left == 0 {
			if pos >= limit && limit < len(out) {
				return pos, nil
			}
			if err := d.nextChunk(pos); err != nil {
				return pos, err
			}
		}
		if d.left > len(out)-pos && limit == len(out) {
			return pos, d.errorf(d.at, "decodes to more than %d bytes", len(out))
		}
		if pos >= limit {
			return pos, nil
		}
		was := pos
		var err error
		if d.packed {
			pos, err = d.symbols(out, pos, limit)
		} else {
			pos, err = d.plain(out, pos, limit)
		}
		d.left -= pos - was
		if err != nil {
			return pos, err
		}
	}
}

// plain copies from a chunk that isn't compressed.
func (d *Decoder) plain(out []byte, pos, limit int) (int, error) {
	n := copy(out[pos:min(pos+d.left, limit)], d.src[d.at:])
	if n == 0 {
		return pos, d.cutShort()
	}
	d.at += n
	pos += n
	d.prev = out[pos-1]
	return pos, nil
}

// nextChunk reads a chunk's header. pos is where its bytes will go.
func (d *Decoder) nextChunk(pos int) error {
	head := d.src[d.at:]
	if len(head) == 0 {
		return d.cutShort()
	}
	control := head[0]
	size := 1
	switch {
	case control == 0:
		d.at++
		return errDone
	case control >= 0xc0:
		size = 6
	case control >= 0x80:
		size = 5
	case control <= 2:
		size = 3
	default:
		return d.errorf(d.at, "a chunk begins with %#02x", control)
	}
	if control == 1 || control >= 0xe0 {
		d.needDict, d.needProps = false, true
		d.bias, d.prev = -pos, 0
	} else if d.needDict {
		return d.errorf(d.at, "the first chunk does not reset the dictionary")
	}
	if control >= 0x80 && control < 0xc0 && d.needProps {
		return d.errorf(d.at, "the first LZMA chunk does not set lc, lp and pb")
	}
	if len(head) < size {
		return d.cutShort()
	}
	d.packed = control >= 0x80
	d.left = int(head[1])<<8 + int(head[2]) + 1
	if !d.packed {
		d.at += size
		return nil
	}
	d.left += int(control&0x1f) << 16
	d.size = int(head[3])<<8 + int(head[4]) + 1
	if control >= 0xc0 {
		if !d.setProps(uint(head[5])) {
			return d.errorf(d.at+5, "lc, lp and pb can't be %#02x", head[5])
		}
		d.needProps = false
	}
	if control >= 0xa0 {
		d.resetState()
	}
	d.at += size
	d.start = d.at
	d.in = d.src[d.at:min(d.at+d.size, len(d.src))]
	d.at += len(d.in)
	return d.startRange()
}

// setProps sets lc, lp and pb from the byte that holds them. LZMA2 has at most 16
// literal coders, so lc + lp is at most 4.
func (d *Decoder) setProps(b uint) bool {
	lc, lp, pb := b%9, b/9%5, b/45
	if pb > 4 || lc+lp > 4 {
		return false
	}
	d.lc, d.lpMask, d.pbMask = lc, 1<<lp-1, 1<<pb-1
	return true
}

func (d *Decoder) resetState() {
	d.state = 0
	d.reps = [4]uint{}
	d.probs[0] = half
	for n := 1; n < len(d.probs); n *= 2 {
		copy(d.probs[n:], d.probs[:n])
	}
}

func (d *Decoder) errorf(at int, format string, args ...any) error {
	return &formatError{at: at, what: fmt.Sprintf(format, args...)}
}

func (d *Decoder) cutShort() error {
	d.at = len(d.src)
	return &formatError{at: d.at, what: "cut short", cut: true}
}
