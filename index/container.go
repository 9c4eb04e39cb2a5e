// SPDX-License-Identifier: Apache-2.0

package index

import (
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/index/zst"
)

// What an archive is wrapped in.
const (
	containerXZ = iota
	containerCache
	containerOther
)

// container recognizes by the first bytes of an archive how to read it. All else is
// left to xz, whose error says what is missing.
func container(r io.ReaderAt, size int64) int {
	head := make([]byte, tarball.Block)
	n, _ := r.ReadAt(head, 0)
	switch head = head[:n]; {
	case zst.Is(r, size):
		return containerCache
	case hasPrefix(head, gzipMagic), hasPrefix(head, zst.Magic), tarball.IsHeader(head):
		return containerOther
	}
	return containerXZ
}

// MaxWindow is the largest window of a .tar.zst, which is that of zstd -22.
const MaxWindow = 128 << 20

const gzipMagic = "\x1f\x8b"

func hasPrefix(b []byte, magic string) bool {
	return len(b) >= len(magic) && string(b[:len(magic)]) == magic
}

// tar returns a reader of the tar in the archive.
func (f *File) tar() (io.Reader, error) {
	if f.xz != nil {
		return f.xz.Reader(), nil
	}
	section := io.NewSectionReader(f.r, 0, f.size)
	head := make([]byte, 4)
	n, _ := f.r.ReadAt(head, 0)
	switch head = head[:n]; {
	case hasPrefix(head, gzipMagic):
		r, err := gzip.NewReader(section)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return &limitedReader{r, xz.MaxUnpacked}, nil
	case hasPrefix(head, zst.Magic):
		// Without concurrency it has no goroutines, and needs no Close.
		r, err := zstd.NewReader(section, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(MaxWindow))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return &limitedReader{r, xz.MaxUnpacked}, nil
	}
	return section, nil
}

// A limitedReader fails when more than left bytes are read.
type limitedReader struct {
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("unpacked size exceeds %d GiB", xz.MaxUnpacked>>30)
	}
	return n, err
}
