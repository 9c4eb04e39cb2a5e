// SPDX-License-Identifier: Apache-2.0

package index

import (
	"crypto/sha256"
	"io"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// Load decodes a .tar.xz once and makes a Tree of it, which doesn't need the
// archive any more. Every check that the archive holds is looked at; with an
// error there is no Tree. Decoding runs beside reading the tar and compressing
// its files again, so the cost is that of the slowest, decoding LZMA2.
func Load(archive []byte) (*Tree, error) {
	return load(archive, false)
}

func load(archive []byte, discard bool) (*Tree, error) {
	f, err := xz.Parse(archive)
	if err != nil {
		return nil, err
	}
	b := newBuilder()
	p, err := newPacker(discard)
	if err != nil {
		return nil, err
	}
	ahead := readAhead(f.Reader())
	defer ahead.Close()
	if err := readTar(ahead, b, p); err != nil {
		return nil, err
	}
	t := b.finish()
	t.data = p.finish()
	t.Hash = sha256.Sum256(archive)
	return t, nil
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
	const buffers, size = 4, 64 << 10
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
