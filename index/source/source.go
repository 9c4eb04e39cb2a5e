// SPDX-License-Identifier: Apache-2.0

// Package source finds the archive of kernel headers on a machine, and takes
// it out of the file that holds it: an archive, a kernel module, or a kernel
// image. It reads files; it never loads a module.
package source

import (
	"bytes"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Limits. A file that exceeds one is refused before memory is allocated for it.
const (
	// MaxArchive is the size of the largest compressed archive that is read. A
	// stock one has 4 MB, all headers of all architectures 12 MB. A plain .tar
	// may have xz.MaxUnpacked bytes, as much as a compressed one decodes to.
	MaxArchive = 128 << 20
	// MaxUnpacked is the size of the largest module or kernel image that is
	// decompressed, into memory. A module is a little larger than its archive; an
	// arm64 Image has 30 to 80 MB, a vmlinux without debug information 50 to 100
	// MB. A vmlinux with debug information has up to 1 GB, but is not limited
	// when it is not compressed: then it is searched where it lies.
	MaxUnpacked = 256 << 20
	// MaxWindow is the largest zstd window, which is that of zstd -22. The kernel
	// compresses its image with it.
	MaxWindow = 128 << 20
	// MaxSymbols is the size of the largest symbol and string tables that are
	// read. A vmlinux has 5 MB of each.
	MaxSymbols = 64 << 20
)

// What an archive was found in.
const (
	KindArchive = "archive"
	KindModule  = "module"
	KindImage   = "kernel image"
)

// An Archive holds the bytes of a .tar, .tar.gz, .tar.xz or .tar.zst, or of a
// cache file. Concurrent use is safe.
type Archive struct {
	Data   []byte
	Path   string // the file that holds it
	Kind   string // KindArchive, KindModule or KindImage
	Offset int64  // of Data in the file, in the decompressed file if that is compressed
}

// Size returns the number of bytes in the archive.
func (a *Archive) Size() int64 { return int64(len(a.Data)) }

// ReadAt implements io.ReaderAt.
func (a *Archive) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(a.Data).ReadAt(p, off)
}

// Slice returns n bytes from off on, without a copy: they must not be changed.
// It returns nil if the archive does not have them all.
func (a *Archive) Slice(off, n int64) []byte {
	if off < 0 || n < 0 || off > a.Size() || n > a.Size()-off {
		return nil
	}
	return a.Data[off : off+n : off+n]
}

// openFlags make the opening of a FIFO or a device return at once.
const openFlags = os.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY

// Open reads the archive at path. The content of the file decides what it is,
// not its name. Only a regular file is read. Errors name the path.
func Open(path string) (*Archive, error) {
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readFile(f, path)
}

// readFile reads the archive in f, which path names.
func readFile(f *os.File, path string) (*Archive, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	// A file in /proc may have a size of 0; reading finds its end.
	size := st.Size()
	if size == 0 {
		size = math.MaxInt64
	}
	a, err := Read(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	a.Path = path
	return a, nil
}
