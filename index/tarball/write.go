// SPDX-License-Identifier: Apache-2.0

package tarball

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math"
)

// A Writer writes a tar in blocks, which are cut between members. Only a member that
// is larger than a block spans several, and it begins one.
type Writer struct {
	size   int // most bytes of a block
	emit   func(block []byte) error
	buf    []byte // the block that isn't complete
	start  int64  // of that block
	header bytes.Buffer
}

// NewWriter returns a Writer of blocks of at most size bytes, a multiple of Block.
// emit gets each block when it is complete; it must not keep it.
func NewWriter(size int, emit func(block []byte) error) *Writer {
	return &Writer{size: size, emit: emit}
}

// Add writes a member, whose data is h.Size bytes of r if it is a file. It returns
// the offset of the data.
func (w *Writer) Add(h *tar.Header, r io.Reader) (off int64, err error) {
	header, err := w.encode(h)
	if err != nil {
		return 0, err
	}
	size := h.Size
	if !IsFile(h) {
		size = 0
	}
	if len(w.buf)+len(header)+int(roundUp(size)) > w.size {
		if err := w.Cut(); err != nil {
			return 0, err
		}
	}
	if err := w.append(len(header), bytes.NewReader(header)); err != nil {
		return 0, err
	}
	off = w.Len()
	if err := w.append(int(size), r); err != nil {
		return 0, fmt.Errorf("%s: %w", h.Name, err)
	}
	return off, w.append(int(roundUp(size)-size), zeros{})
}

// encode returns the header of a member as it is in the tar, with extended headers.
func (w *Writer) encode(h *tar.Header) ([]byte, error) {
	w.header.Reset()
	t := tar.NewWriter(&w.header)
	if err := t.WriteHeader(h); err != nil {
		return nil, fmt.Errorf("%s: %w", h.Name, err)
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		// Its data has been written with it; this pads it.
		if err := t.Flush(); err != nil {
			return nil, err
		}
	}
	return w.header.Bytes(), nil
}

// append appends n bytes of r, and cuts blocks that are full.
func (w *Writer) append(n int, r io.Reader) error {
	for n > 0 {
		if len(w.buf) == w.size {
			if err := w.Cut(); err != nil {
				return err
			}
		}
		at := len(w.buf)
		m := min(n, w.size-at)
		w.buf = append(w.buf, make([]byte, m)...)
		if _, err := io.ReadFull(r, w.buf[at:]); err != nil {
			return err
		}
		n -= m
	}
	return nil
}

// HeaderSize returns how many bytes Add writes before the data of a member.
func (w *Writer) HeaderSize(h *tar.Header) (int64, error) {
	header, err := w.encode(h)
	return int64(len(header)), err
}

// Len returns the number of bytes written, in complete blocks or not.
func (w *Writer) Len() int64 { return w.start + int64(len(w.buf)) }

// Cut ends the block, unless it is empty.
func (w *Writer) Cut() error {
	if len(w.buf) == 0 {
		return nil
	}
	if err := w.emit(w.buf); err != nil {
		return err
	}
	w.start += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// Last begins the last block, which is as large as what is still to come.
func (w *Writer) Last() error {
	err := w.Cut()
	w.size = math.MaxInt
	return err
}

// Close writes the end-of-archive marker, and the last block.
func (w *Writer) Close() error {
	w.buf = append(w.buf, make([]byte, 2*Block)...)
	return w.Cut()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
