// SPDX-License-Identifier: Apache-2.0

// Package source finds the archive of kernel headers on a machine, and takes
// it out of whatever it lies in: a file of its own, a kernel module, or a
// kernel image. It reads files; it never loads a module.
package source

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// Limits. What goes beyond them is refused before memory is taken for it.
const (
	// MaxArchive is the size of the largest .tar.xz that is taken in. A stock
	// one has 4 MB, all headers of all architectures 12 MB.
	MaxArchive = 128 << 20
	// maxModule is the size of the largest module that is unpacked.
	maxModule = MaxArchive + 16<<20
	// maxSymbols is the size of the largest symbol and string tables that are
	// read. A vmlinux has 5 MB of each.
	maxSymbols = 64 << 20
)

// What an archive can lie in.
const (
	KindArchive = "archive"
	KindModule  = "module"
	KindImage   = "kernel image"
)

// An Archive is a .tar.xz, or what the cache makes of one, whole and in memory.
type Archive struct {
	Data   []byte
	Path   string // the file that holds it
	Kind   string // KindArchive, KindModule or KindImage
	Offset int64  // of Data in the file, in the unpacked file if that is packed
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

// Open reads the archive at path. What the file is, is told from its content.
// Nothing but a regular file is opened, so that a FIFO or a device can't hold
// the caller up. Errors name the path.
func Open(path string) (*Archive, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	// A file in /proc may tell no size; reading finds its end.
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

// Read takes the archive out of a file of at most size bytes.
func Read(r io.ReaderAt, size int64) (*Archive, error) {
	head := make([]byte, 4096)
	n, err := io.ReadFull(io.NewSectionReader(r, 0, size), head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	head = head[:n]
	file := io.NewSectionReader(r, 0, size)
	switch {
	case n == 0:
		return nil, errors.New("the file is empty")
	case bytes.HasPrefix(head, []byte(xz.Magic)):
		return readXZ(file)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		unpacked, err := gzip.NewReader(file)
		if err != nil {
			return nil, err
		}
		return readModule(unpacked)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")) && isSeekable(r, size):
		data, err := readAll(file, MaxArchive)
		return &Archive{Data: data, Kind: KindArchive}, err
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		unpacked, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxModule))
		if err != nil {
			return nil, err
		}
		defer unpacked.Close()
		return readModule(unpacked)
	case isELF(head):
		return carve(r, size)
	case isImage(head):
		a, err := carve(r, size)
		if a != nil {
			a.Kind = KindImage
		}
		return a, err
	case len(head) > 0x206 && string(head[0x202:0x206]) == "HdrS": // Documentation/arch/x86/boot.rst
		return nil, errors.New("a compressed kernel image: give the vmlinux that it was made from, or the kheaders module")
	}
	return nil, errors.New("neither a .tar.xz archive, nor a kernel module, nor an uncompressed kernel image")
}

// isSeekable tells whether a zstd file ends with a seek table
// (contrib/seekable_format of the zstd sources), as cache files do.
func isSeekable(r io.ReaderAt, size int64) bool {
	var magic [4]byte
	n, _ := r.ReadAt(magic[:], size-int64(len(magic)))
	return n == len(magic) && binary.LittleEndian.Uint32(magic[:]) == 0x8f92eab1
}

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte("\x7fELF")) }

// isImage knows the boot images of arm64 and RISC-V, which both have a magic
// number at 56 (Documentation/arch/arm64/booting.rst, riscv/boot-image-header.rst).
func isImage(head []byte) bool {
	return len(head) >= 64 && (string(head[56:60]) == "ARM\x64" || string(head[56:60]) == "RSC\x05")
}

// readXZ reads a file that begins like an .xz: an archive, or a module that was
// packed by itself.
func readXZ(r io.Reader) (*Archive, error) {
	data, err := readAll(r, MaxArchive)
	if err != nil {
		return nil, err
	}
	f, err := xz.Parse(data)
	if err != nil {
		// Damaged. Who opens the archive finds out, and can tell more of it.
		return &Archive{Data: data, Kind: KindArchive}, nil
	}
	head := make([]byte, 4)
	if isELF(head[:f.FileHead(head)]) {
		if f.Unpacked() > maxModule {
			return nil, tooLarge(maxModule)
		}
		return readModule(f.Reader())
	}
	return &Archive{Data: data, Kind: KindArchive}, nil
}

// readModule reads a module that was packed, from its unpacked bytes. Nothing
// else is unpacked further than to where that shows.
func readModule(r io.Reader) (*Archive, error) {
	unpacked := bufio.NewReader(r)
	head, err := unpacked.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if !isELF(head) {
		return nil, errors.New("packed, but neither a .tar.xz archive nor a kernel module")
	}
	data, err := readAll(unpacked, maxModule)
	if err != nil {
		return nil, err
	}
	a, err := carve(bytes.NewReader(data), int64(len(data)))
	if a != nil {
		a.Data = bytes.Clone(a.Data) // lets go of the module
	}
	return a, err
}

// readAll reads all of r, which may not be more than limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	if s, ok := r.(*io.SectionReader); ok && s.Size() < math.MaxInt64 {
		if s.Size() > limit {
			return nil, tooLarge(limit)
		}
		return readSize(s, int(s.Size()))
	}
	var buf bytes.Buffer
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, tooLarge(limit)
	}
	return buf.Bytes(), nil
}

// readSize reads size bytes, or less if there are no more.
func readSize(r io.Reader, size int) ([]byte, error) {
	data := make([]byte, size)
	// The kernel gives memory page by page when it is written to. All at once
	// takes a third of that time; if it can't, nothing is lost.
	if size > 1<<20 {
		unix.Madvise(data, unix.MADV_POPULATE_WRITE)
	}
	n, err := io.ReadFull(r, data)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return data[:n], err
}

func tooLarge(limit int64) error { return fmt.Errorf("more than the limit of %d bytes", limit) }
