// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"io"

	"github.com/kheadersfs/kheadersfs/index/blocks"
	"github.com/kheadersfs/kheadersfs/index/kernel"
	"github.com/kheadersfs/kheadersfs/index/table"
	"github.com/kheadersfs/kheadersfs/index/tarball"
)

// Decode decodes the whole archive once, and returns a Tree that doesn't need it any
// more. Every check in the archive is checked; with an error there is no Tree.
// Decoding runs beside reading the tar and compressing its files again, so the time
// is that of the slowest, decoding LZMA2: a fifth of a second for a kernel's headers.
func (f *File) Decode() (*Tree, error) {
	hashed := make(chan error, 1)
	var hash [32]byte
	go func() {
		var err error
		hash, err = f.Hash()
		hashed <- err
	}()
	m := blocks.NewMemory()
	found := includes{}
	var scanner kernel.Scanner
	lines, names := 0, 0
	t, err := f.walk(func(h *tar.Header, data io.Reader, _ int64) (off int64, err error) {
		if off, err = m.Begin(h.Size); err != nil {
			return off, err
		}
		// A larger file is not hot, and its lines could take any memory.
		if found != nil && h.Size <= kernel.MaxHotBytes {
			data = io.TeeReader(data, &scanner)
		}
		_, err = m.ReadFrom(data)
		if in := scanner.End(); len(in) > 0 {
			found[off] = in
			lines += len(in)
			for _, line := range in {
				names += len(line.Name)
			}
			if lines > kernel.MaxDirectives || names > kernel.MaxHotBytes {
				found = nil
			}
		}
		return off, err
	})
	if hashErr := <-hashed; err == nil {
		err = hashErr
	}
	if err != nil {
		return nil, err
	}
	tree := newTree(t, hash, &row{Reader: m.Reader(), table: t})
	tree.includes = found
	return tree, nil
}

// includes are the #include lines of files, by where those begin in the row. A tree in memory
// has them from decoding, so that nothing need be decoded again to find the hot files.
type includes map[int64][]kernel.Include

// A fileFunc takes the data of a file, which begins at off in the tar, and returns
// the offset that the table is to have for it.
type fileFunc func(h *tar.Header, data io.Reader, off int64) (int64, error)

// walk decodes the whole archive, calls file for each file, and returns the table.
func (f *File) walk(file fileFunc) (*table.Table, error) {
	r, err := f.tar()
	if err != nil {
		return nil, err
	}
	ahead := readAhead(r)
	defer ahead.Close()
	return walkTar(ahead, file)
}

// walkTar is walk of a tar.
func walkTar(r io.Reader, file fileFunc) (*table.Table, error) {
	b := table.NewBuilder()
	err := tarball.Walk(r, func(h *tar.Header, data io.Reader, off int64) (err error) {
		if tarball.IsFile(h) {
			if off, err = file(h, data, off); err != nil {
				return err
			}
		}
		return b.Add(h, off)
	})
	if err != nil {
		return nil, err
	}
	return b.Table(), nil
}

// An aheadReader reads another reader from a goroutine of its own.
type aheadReader struct {
	full chan []byte
	free chan []byte
	stop chan struct{}
	err  error // valid once full is closed

	buf, rest []byte
}

// readAhead returns a reader that keeps a few buffers of r's bytes ready. It must be
// closed.
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
				// After io.ReadFull, r's own io.ErrUnexpectedEOF would look like its end.
				n, err := 0, error(nil)
				for n < size && err == nil {
					var m int
					m, err = r.Read(buf[n:size])
					n += m
				}
				if n > 0 {
					a.full <- buf[:n]
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
