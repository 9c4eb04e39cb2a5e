// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// A FormatError means that a file is in a format that no archive is taken from.
type FormatError struct {
	What string // the file is, as "a bzImage"
	Hint string // the next step, FILE being the file; can be empty
}

func (e *FormatError) Error() string { return e.What }

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte("\x7fELF")) }

// isImage recognizes the uncompressed kernel images of arm64, RISC-V and
// LoongArch by the magic number at 56 (Documentation/arch/arm64/booting.rst,
// riscv/boot-image-header.rst, arch/loongarch/kernel/head.S).
func isImage(head []byte) bool {
	if len(head) < 64 || isZboot(head) {
		return false
	}
	magic := string(head[56:60])
	return magic == "ARM\x64" || magic == "RSC\x05" || magic == "\xcd\x23\x82\x81"
}

// isZboot recognizes an EFI zboot image: an EFI program with a compressed
// kernel image in it (drivers/firmware/efi/libstub/zboot-header.S).
func isZboot(head []byte) bool {
	return len(head) >= 64 && string(head[:8]) == "MZ\x00\x00zimg"
}

// readZboot reads the kernel image in an EFI zboot image of size bytes.
func readZboot(r io.ReaderAt, size int64, head []byte) (*Archive, error) {
	start := int64(binary.LittleEndian.Uint32(head[8:]))
	length := int64(binary.LittleEndian.Uint32(head[12:]))
	if start+length > size {
		return nil, fmt.Errorf("cut short: the kernel in the EFI zboot image ends at %d, the file at %d", start+length, size)
	}
	payload := io.NewSectionReader(r, start, length)
	head, err := readHead(payload, length)
	if err != nil {
		return nil, err
	}
	method := compression(head)
	if method == "" {
		what := "an EFI zboot image of an unknown compression"
		if f := formatOf(head); f != nil {
			what = "an EFI zboot image that holds " + f.What
		}
		return nil, &FormatError{what, fmt.Sprintf("tail -c +%d FILE | head -c %d writes what it holds, to be decompressed", start+1, length)}
	}
	unpacked, err := decompress(payload, method)
	if err != nil {
		return nil, err
	}
	defer unpacked.Close()
	return readObject(bufio.NewReader(unpacked))
}

const makeTar = "unpack it, and make a .tar.xz of the headers in it"

// formats are what people take for kernels or archives, by their magic numbers.
var formats = []struct {
	offset int
	magic  string
	FormatError
}{
	// Documentation/arch/x86/boot.rst
	{0x202, "HdrS", FormatError{"a bzImage, which is a compressed kernel image",
		"scripts/extract-vmlinux FILE >vmlinux, with the script from the kernel's sources; or use the kheaders module"}},
	{36, "\x18\x28\x6f\x01", FormatError{"an ARM zImage, which is a compressed kernel image",
		"use the vmlinux that it was made from, or the kheaders module"}},
	{0, "ANDROID!", FormatError{"an Android boot image", "unpack_bootimg --boot_img FILE, or abootimg -x FILE, writes the kernel in it"}},
	{0, "VNDRBOOT", FormatError{"an Android vendor boot image, which holds no kernel", "use boot.img"}},
	{0, "\x27\x05\x19\x56", FormatError{"a U-Boot uImage", "dumpimage -T kernel -p 0 -o kernel FILE writes the kernel in it"}},
	{0, "\xd0\x0d\xfe\xed", FormatError{"a devicetree or a U-Boot FIT image", "dumpimage -T flat_dt -p 0 -o kernel FILE writes the first kernel in it"}},

	{0, "BZh", FormatError{"a bzip2 file", "decompress it: bunzip2 FILE"}},
	{0, "\x04\x22\x4d\x18", FormatError{"an lz4 file", "decompress it: lz4 -d FILE"}},
	{0, "\x02\x21\x4c\x18", FormatError{"an lz4 file", "decompress it: lz4 -d FILE"}}, // as the kernel makes it
	{0, "\x89LZO", FormatError{"an lzop file", "decompress it: lzop -d FILE"}},
	{0, "\x5d\x00\x00", FormatError{"an lzma file", "decompress it: xz -d --format=lzma FILE"}},
	{0, "\x1f\x8b", FormatError{"a gzip file", "decompress it: gunzip FILE"}},
	{0, "\x28\xb5\x2f\xfd", FormatError{"a zstd file", "decompress it: zstd -d FILE"}},
	{0, "\xfd7zXZ\x00", FormatError{"an xz file", "decompress it: xz -d FILE"}},

	{0, "PK\x03\x04", FormatError{"a zip archive", makeTar}},
	{0, "Rar!\x1a\x07", FormatError{"a RAR archive", makeTar}},
	{0, "7z\xbc\xaf\x27\x1c", FormatError{"a 7z archive", makeTar}},
	{0, "070701", FormatError{"a cpio archive", makeTar}},
	{0, "hsqs", FormatError{"a SquashFS image", "mount it"}},
	{0, "!<arch>\ndebian-binary", FormatError{"a Debian package", "dpkg-deb -x FILE DIR unpacks it"}},
	{0, "\xed\xab\xee\xdb", FormatError{"an RPM package", "rpm2cpio FILE | cpio -id unpacks it"}},
}

// formatOf returns what a file is, nil if that is not known.
func formatOf(head []byte) *FormatError {
	for _, f := range formats {
		if len(head) >= f.offset && bytes.HasPrefix(head[f.offset:], []byte(f.magic)) {
			return &f.FormatError
		}
	}
	return nil
}

// refuse returns the error about a file that no archive is taken from.
func refuse(r io.ReaderAt, head []byte) error {
	if f := formatOf(head); f != nil {
		return f
	}
	if hasLinuxSection(r, head) {
		return &FormatError{"a unified kernel image (UKI)", "objcopy -O binary --only-section=.linux FILE vmlinuz writes the kernel in it"}
	}
	return &FormatError{What: "not an archive of headers, a kernel module or a kernel image"}
}

// refuseUnpacked is refuse for a file that was decompressed.
func refuseUnpacked(head []byte) error {
	f := formatOf(head)
	switch {
	case f == nil:
		return &FormatError{What: "compressed, and neither a tar archive, nor a kernel module, nor a kernel image"}
	case compression(head) != "":
		return &FormatError{"compressed twice: it holds " + f.What, "decompress it once"}
	}
	return &FormatError{"compressed: it holds " + f.What, "decompress it; then " + f.Hint}
}

// hasLinuxSection reports whether a file is an EFI program (PE) with a section
// .linux, which the UAPI group's specification of UKIs requires.
func hasLinuxSection(r io.ReaderAt, head []byte) bool {
	if len(head) < 64 || string(head[:2]) != "MZ" {
		return false
	}
	at := int64(binary.LittleEndian.Uint32(head[0x3c:]))
	var header [24]byte // signature and COFF header
	if n, _ := r.ReadAt(header[:], at); n < len(header) || string(header[:4]) != "PE\x00\x00" {
		return false
	}
	at += int64(len(header)) + int64(binary.LittleEndian.Uint16(header[20:])) // behind the optional header
	for range binary.LittleEndian.Uint16(header[6:]) {
		var section [40]byte
		if n, _ := r.ReadAt(section[:], at); n < len(section) {
			return false
		}
		if string(section[:8]) == ".linux\x00\x00" {
			return true
		}
		at += int64(len(section))
	}
	return false
}
