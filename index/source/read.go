// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/index/zst"
)

// Read takes the archive out of a file of at most size bytes.
func Read(r io.ReaderAt, size int64) (*Archive, error) {
	head, err := readHead(r, size)
	if err != nil {
		return nil, err
	}
	file := io.NewSectionReader(r, 0, size)
	switch method := compression(head); {
	case len(head) == 0:
		return nil, errors.New("the file is empty")
	case method == "xz":
		return readXZ(file)
	case method == "zstd" && zst.Is(r, size):
		return readArchive(file, MaxArchive)
	case method == "gzip", method == "zstd":
		unpacked, err := decompress(io.NewSectionReader(r, 0, size), method)
		if err != nil {
			return nil, err
		}
		defer unpacked.Close()
		b := bufio.NewReader(unpacked)
		head, err := b.Peek(tarball.Block)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if tarball.IsHeader(head) {
			return readArchive(file, MaxArchive)
		}
		return readObject(b)
	case tarball.IsHeader(head):
		return readArchive(file, xz.MaxUnpacked)
	case isELF(head), isImage(head):
		return carve(r, size, head)
	case isZboot(head):
		return readZboot(r, size, head)
	}
	return nil, refuse(r, head)
}

// readHead returns the first bytes of a file, fewer if it is shorter.
func readHead(r io.ReaderAt, size int64) ([]byte, error) {
	head := make([]byte, 4096)
	n, err := io.ReadFull(io.NewSectionReader(r, 0, size), head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return head[:n], err
}

// compression returns the method that a file is compressed with, "" if it is
// none of those that decompress knows.
func compression(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte(xz.Magic)):
		return "xz"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "gzip"
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return "zstd"
	}
	return ""
}

// decompress returns a reader of the content of a file that is compressed with
// method.
func decompress(file *io.SectionReader, method string) (io.ReadCloser, error) {
	switch method {
	case "gzip":
		return gzip.NewReader(file)
	case "zstd":
		d, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(MaxUnpacked), zstd.WithDecoderMaxWindow(MaxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	data, err := readAll(file, MaxArchive, "size of the .xz")
	if err != nil {
		return nil, err
	}
	f, err := xz.Parse(data)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(f.Reader()), nil
}

// readArchive reads a file that is an archive itself.
func readArchive(file io.Reader, limit int64) (*Archive, error) {
	data, err := readAll(file, limit, "size")
	if err != nil {
		return nil, err
	}
	return &Archive{Data: data, Kind: KindArchive}, nil
}

// readXZ reads an .xz: an archive, or a module or kernel image that is
// compressed. A damaged file counts as an archive: opening that explains the
// damage.
func readXZ(file io.Reader) (*Archive, error) {
	a, err := readArchive(file, MaxArchive)
	if err != nil {
		return nil, err
	}
	f, err := xz.Parse(a.Data)
	if err != nil {
		return a, nil
	}
	head := make([]byte, 64)
	if head = head[:f.FileHead(head)]; !isELF(head) && !isImage(head) {
		return a, nil
	}
	if f.Unpacked() > MaxUnpacked {
		return nil, tooLarge("unpacked size", MaxUnpacked)
	}
	return readObject(bufio.NewReader(f.Reader()))
}

// readObject reads a module or kernel image while it is decompressed. No more
// of anything else is decompressed than shows that it is neither.
func readObject(unpacked *bufio.Reader) (*Archive, error) {
	head, err := unpacked.Peek(unpacked.Size())
	if err != nil && err != io.EOF && len(head) < tarball.Block {
		return nil, err
	}
	if !isELF(head) && !isImage(head) {
		return nil, refuseUnpacked(head)
	}
	data, err := readAll(unpacked, MaxUnpacked, "unpacked size")
	if err != nil {
		return nil, err
	}
	a, err := carve(bytes.NewReader(data), int64(len(data)), data)
	if a != nil {
		a.Data = bytes.Clone(a.Data) // so that the object can be freed
	}
	return a, err
}

// readAll reads all of r, whose size may not exceed limit. The error calls the
// size what.
func readAll(r io.Reader, limit int64, what string) ([]byte, error) {
	if s, ok := r.(*io.SectionReader); ok && s.Size() < math.MaxInt64 {
		if s.Size() > limit {
			return nil, tooLarge(what, limit)
		}
		return readSize(s, int(s.Size()))
	}
	var buf bytes.Buffer
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, tooLarge(what, limit)
	}
	return buf.Bytes(), nil
}

// readSize reads size bytes, or fewer if the file ends.
func readSize(r io.Reader, size int) ([]byte, error) {
	// The kernel allocates memory page by page as it is written, which takes longer than
	// reading. Huge pages take a sixth of the time, but the memory must be aligned, and
	// whatever the collector puts there next must be in small ones. A failure costs nothing.
	const huge = 2 << 20
	var data []byte
	if size < huge {
		data = make([]byte, size)
	} else {
		data = make([]byte, size+huge)
		data = data[-uintptr(unsafe.Pointer(&data[0]))%huge:][:size:size]
		whole := data[:size/huge*huge]
		unix.Madvise(whole, unix.MADV_HUGEPAGE)
		defer unix.Madvise(whole, unix.MADV_NOHUGEPAGE)
		unix.Madvise(data, unix.MADV_POPULATE_WRITE)
	}
	n, err := io.ReadFull(r, data)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return data[:n], err
}

func tooLarge(what string, limit int64) error {
	return fmt.Errorf("%s exceeds %d MiB", what, limit>>20)
}
