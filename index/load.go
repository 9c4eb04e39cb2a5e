// SPDX-License-Identifier: Apache-2.0

package index

import (
	"io"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// load decodes an archive once, and makes a Tree that doesn't need it any more.
// Decoding runs beside reading the tar and compressing its files again, so the
// cost is that of the slowest, decoding LZMA2.
func load(f *xz.File) (*Tree, error) {
	p := newPacker()
	t, err := decodeAll(f, p)
	if err != nil {
		return nil, err
	}
	t.data.Store(&data{store: p.finish(), table: t.table})
	return t, nil
}

// decodeAll decodes all blocks, gives the data of all files to a sink, and
// returns a tree without data.
func decodeAll(f *xz.File, to sink) (*Tree, error) {
	b := newBuilder()
	ahead := readAhead(f.Reader())
	defer ahead.Close()
	if err := readTar(ahead, b, to); err != nil {
		return nil, err
	}
	return b.finish(), nil
}

// An aheadReader reads another reader from a goroutine of its own.
type aheadReader struct {
	full chan []byte
	free chan []byte
	stop chan struct{}
	err  error // valid once full is closed

	buf, rest []byte
}

// readAhead returns a reader that keeps a few buffers of r's bytes ready. It
// must be closed.
func readAhead(r io.Reader) *aheadReader {
	const buffers, size = 4, 256 << 10
	a := &aheadReader{
		full: make(chan []byte, buffers),
		free: make(chan []byte, buffers),
		stop: make(chan struct{}),
	}
	for range buffers {
		a.free <- make([]byte, size)
	}
	go func() {
		defer close(a.full)
		for {
			select {
			case buf := <-a.free:
				n, err := io.ReadFull(r, buf[:size])
				if n > 0 {
					a.full <- buf[:n]
				}
				if err == io.ErrUnexpectedEOF {
					err = io.EOF
				}
				if err != nil {
					a.err = err
					return
				}
			case <-a.stop:
				return
			}
		}
	}()
	return a
}

func (a *aheadReader) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		if a.buf != nil {
			a.free <- a.buf
			a.buf = nil
		}
		buf, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.buf, a.rest = buf, buf
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close ends the goroutine.
func (a *aheadReader) Close() { close(a.stop) }
