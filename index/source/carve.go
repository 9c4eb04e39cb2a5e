// SPDX-License-Identifier: Apache-2.0

package source

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// The two symbols of kernel/kheaders.c that the archive lies between.
const (
	symbolStart = "kernel_headers_data"
	symbolEnd   = "kernel_headers_data_end"
)

var (
	errNoHeaders = errors.New("no kernel headers in it (is it the kheaders module, or a kernel built with CONFIG_IKHEADERS=y?)")
	errGivenUp   = errors.New("the search for kernel headers in it was given up: too much in it begins like .xz")
)

// carve finds the archive in a module or a kernel image. The symbols of an ELF
// file say where it is; in a file without them, every place where an .xz could
// begin is looked at.
func carve(r io.ReaderAt, size int64, head []byte) (*Archive, error) {
	kind, start, end, err := symbols(r)
	if err != nil {
		return nil, err
	}
	if isImage(head) {
		kind = KindImage
	}
	if start < 0 {
		if start, end, err = search(r, size); err != nil {
			return nil, err
		}
	}
	if end-start > MaxArchive {
		return nil, tooLarge("size of the archive in it", MaxArchive)
	}
	if end > size {
		return nil, fmt.Errorf("cut short: the archive in it ends at %d, the file at %d", end, size)
	}
	data, err := readAll(io.NewSectionReader(r, start, end-start), MaxArchive, "size of the archive in it")
	if err != nil {
		return nil, err
	}
	if int64(len(data)) < end-start {
		return nil, io.ErrUnexpectedEOF
	}
	return &Archive{Data: data, Kind: kind, Offset: start}, nil
}

// symbols returns where in the file the archive begins and ends. start is -1
// when the file has no such symbols.
func symbols(r io.ReaderAt) (kind string, start, end int64, err error) {
	// debug/elf allocates no more than the file holds, as long as nothing in it is
	// compressed, but its authors do not promise that it never panics.
	if compressedNames(r) {
		return KindModule, -1, -1, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged ELF file: %v", p)
		}
	}()
	f, err := elf.NewFile(r)
	if err != nil {
		return KindModule, -1, -1, nil // searched instead
	}
	kind = KindModule
	if f.Type != elf.ET_REL {
		kind = KindImage
	}
	start, end = -1, -1
	table := f.SectionByType(elf.SHT_SYMTAB)
	if table == nil || table.Size > MaxSymbols || int(table.Link) >= len(f.Sections) ||
		f.Sections[table.Link].Size > MaxSymbols { // not FileSize: a section can be compressed
		return kind, -1, -1, nil
	}
	all, err := f.Symbols()
	if err != nil {
		return kind, -1, -1, nil // searched instead
	}
	for _, s := range all {
		if s.Name != symbolStart && s.Name != symbolEnd {
			continue
		}
		if int(s.Section) >= len(f.Sections) {
			continue
		}
		section := f.Sections[s.Section]
		at := s.Value
		if f.Type != elf.ET_REL {
			at -= section.Addr
		}
		if section.Type != elf.SHT_PROGBITS || at > section.FileSize {
			continue
		}
		if s.Name == symbolStart {
			start = int64(section.Offset + at)
		} else {
			end = int64(section.Offset + at)
		}
	}
	if start < 0 || end <= start {
		return kind, -1, -1, nil
	}
	return kind, start, end, nil
}

// compressedNames reports whether the names of an ELF file's sections are
// compressed. No linker does that, and they could decompress to any size.
func compressedNames(r io.ReaderAt) bool {
	var ident [elf.EI_NIDENT]byte
	var order binary.ByteOrder = binary.LittleEndian
	read := func(at int64, to any) { // leaves to as it is on failure
		_ = binary.Read(io.NewSectionReader(r, at, 1<<10), order, to)
	}
	read(0, &ident)
	if elf.Data(ident[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	var h32 elf.Header32
	var h elf.Header64
	if elf.Class(ident[elf.EI_CLASS]) == elf.ELFCLASS32 {
		read(0, &h32)
		h.Shoff, h.Shentsize, h.Shstrndx = uint64(h32.Shoff), h32.Shentsize, h32.Shstrndx
	} else {
		read(0, &h)
	}
	section := func(i uint32) (flags uint64, link uint32) {
		at := int64(h.Shoff) + int64(i)*int64(h.Shentsize)
		if h32.Ident[0] != 0 {
			var s elf.Section32
			read(at, &s)
			return uint64(s.Flags), s.Link
		}
		var s elf.Section64
		read(at, &s)
		return s.Flags, s.Link
	}
	index := uint32(h.Shstrndx)
	if index == uint32(elf.SHN_XINDEX) {
		_, index = section(0)
	}
	flags, _ := section(index)
	return flags&uint64(elf.SHF_COMPRESSED) != 0
}

// search returns where the first .xz that holds a tar starts and ends.
func search(file io.ReaderAt, size int64) (start, end int64, err error) {
	// Each place could start a walk through everything after it. A kernel with
	// thousands of .xz files in its initramfs takes reads of 10 times its size.
	r := &meter{file, 1<<20 + 32*min(size, 1<<40)}
	const step = 1 << 20
	buf := make([]byte, step+len(xz.Magic)-1)
	for base := int64(0); base < size; base += step {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-base)], base)
		if err != nil && err != io.EOF {
			return 0, 0, err
		}
		for at := 0; ; at++ {
			i := bytes.Index(buf[at:n], []byte(xz.Magic))
			if i < 0 {
				break
			}
			at += i
			start := base + int64(at)
			if length := archiveAt(r, start, size); length > 0 {
				return start, start + length, nil
			}
		}
		if err == io.EOF {
			break
		}
	}
	return 0, 0, errNoHeaders
}

// A meter is a reader that fails once more than left bytes were read.
type meter struct {
	r    io.ReaderAt
	left int64
}

func (m *meter) ReadAt(p []byte, off int64) (int, error) {
	m.left -= int64(len(p))
	if m.left < 0 {
		return 0, errGivenUp
	}
	return m.r.ReadAt(p, off)
}

// archiveAt returns the size of the archive that begins at start, 0 if there is
// none. A kernel image holds other .xz files too: an initramfs is a cpio.
func archiveAt(r io.ReaderAt, start, size int64) int64 {
	length, err := xz.Scan(io.NewSectionReader(r, start, size-start))
	if err != nil || length > MaxArchive {
		return 0
	}
	data, err := readAll(io.NewSectionReader(r, start, length), MaxArchive, "size")
	if err != nil {
		return 0
	}
	f, err := xz.Parse(data)
	if err != nil {
		return 0
	}
	head := make([]byte, 4096) // a first entry with extended headers takes a few blocks
	head = head[:f.FileHead(head)]
	if _, err := tar.NewReader(bytes.NewReader(head)).Next(); err != nil {
		return 0
	}
	return length
}
