// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// imageOf is an uncompressed kernel image with an archive in it.
func imageOf(magic string, archive []byte) []byte {
	b := append([]byte("MZ"), make([]byte, 54)...)
	b = append(append(b, magic...), make([]byte, 1000)...)
	return append(append(b, archive...), make([]byte, 1000)...)
}

// zbootOf is an EFI zboot image of a compressed kernel image, whose size the
// kernel's build appends for most methods.
func zbootOf(payload []byte) []byte {
	const start = 8192
	b := append([]byte("MZ\x00\x00zimg"), make([]byte, start-8)...)
	binary.LittleEndian.PutUint32(b[8:], start)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(payload)))
	copy(b[24:], "gzip")
	copy(b[56:], "\xcd\x23\x82\x81\x40")
	return append(append(b, payload...), "\x00\x00\x80\x00padding"...)
}

// peOf is an EFI program with sections of these names.
func peOf(sections ...string) []byte {
	const at, optional = 0x80, 240
	b := append([]byte("MZ"), make([]byte, at-2)...)
	b[0x3c] = at
	b = append(b, "PE\x00\x00\x64\x86"...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(sections)))
	b = append(b, make([]byte, 12)...)
	b = binary.LittleEndian.AppendUint16(b, optional)
	b = append(b, make([]byte, 2+optional)...)
	for _, name := range sections {
		b = append(b, append([]byte(name), make([]byte, 40-len(name))...)...)
	}
	return b
}

func TestImages(t *testing.T) {
	want := archive(t, "A")
	image := imageOf("ARM\x64", want)
	vmlinux := moduleOf(want)
	vmlinux.kind, vmlinux.addr = 2, 1<<20
	vmlinux.start, vmlinux.end = vmlinux.start+1<<20, vmlinux.end+1<<20
	for name, test := range map[string]struct{ file, unpacked []byte }{
		"Image.gz":           {tartest.Gzip(t, image), image},
		"Image.zst":          {tartest.Zstd(t, image), image},
		"Image.zst, -22":     {packed(t, image, "zstd", "--ultra", "-22"), image},
		"Image.xz":           {xzOf(t, image), image},
		"vmlinux.xz":         {xzOf(t, vmlinux.bytes()), vmlinux.bytes()},
		"vmlinux.zst":        {tartest.Zstd(t, vmlinux.bytes()), vmlinux.bytes()},
		"vmlinuz.efi, gzip":  {zbootOf(tartest.Gzip(t, image)), image},
		"vmlinuz.efi, zstd":  {zbootOf(tartest.Zstd(t, image)), image},
		"vmlinuz.efi, xz":    {zbootOf(xzOf(t, image)), image},
		"vmlinuz.efi of ELF": {zbootOf(tartest.Zstd(t, vmlinux.bytes())), vmlinux.bytes()},
		"RISC-V":             {tartest.Gzip(t, imageOf("RSC\x05", want)), imageOf("RSC\x05", want)},
		"LoongArch":          {imageOf("\xcd\x23\x82\x81", want), imageOf("\xcd\x23\x82\x81", want)},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := Read(bytes.NewReader(test.file), int64(len(test.file)))
			checkFound(t, a, err, want, KindImage, test.unpacked)
		})
	}
}

// Archives that are not .xz are handed on as they are.
func TestTars(t *testing.T) {
	tar := packed(t, archive(t, "A"), "xz", "-d")
	for name, file := range map[string][]byte{
		".tar":     tar,
		".tar.gz":  tartest.Gzip(t, tar),
		".tar.zst": tartest.Zstd(t, tar),
		// No more is decompressed than shows that it is a tar.
		"cut .tar.gz": tartest.Gzip(t, bytes.Repeat(tar, 100))[:3000],
	} {
		t.Run(name, func(t *testing.T) {
			a, err := Read(bytes.NewReader(file), int64(len(file)))
			checkFound(t, a, err, file, KindArchive, file)
		})
	}
	bad := bytes.Clone(tar)
	bad[0]++ // makes the checksum wrong
	if _, err := Read(bytes.NewReader(bad), int64(len(bad))); err == nil || !strings.HasPrefix(err.Error(), "not an archive of headers") {
		t.Errorf("a tar with a wrong checksum: %v", err)
	}
	big := write(t, filepath.Join(t.TempDir(), "big.tar.gz"), tartest.Gzip(t, tar))
	must(t, os.Truncate(big, MaxArchive+1)) // sparse
	if _, err := Open(big); err == nil || err.Error() != big+": size exceeds 128 MiB" {
		t.Errorf("a large .tar.gz: %v", err)
	}
}

// What is not read is named, with the next step.
func TestFormats(t *testing.T) {
	want := archive(t, "A")
	bzImage := append(make([]byte, 0x202), "HdrS...."...)
	for _, test := range []struct {
		file       []byte
		what, hint string
	}{
		{bzImage, "a bzImage, which is a compressed kernel image", "scripts/extract-vmlinux FILE"},
		{[]byte("ANDROID!"), "an Android boot image", "unpack_bootimg"},
		{[]byte("\x27\x05\x19\x56"), "a U-Boot uImage", "dumpimage"},
		{peOf(".text", ".linux"), "a unified kernel image (UKI)", "--only-section=.linux FILE"},
		{[]byte("PK\x03\x04"), "a zip archive", "make a .tar.xz"},
		{[]byte("BZh91AY"), "a bzip2 file", "bunzip2 FILE"},
		{[]byte("\x02\x21\x4c\x18"), "an lz4 file", "lz4 -d FILE"},
		{tartest.Gzip(t, bzImage), "compressed: it holds a bzImage, which is a compressed kernel image", "decompress it; then scripts/"},
		{tartest.Gzip(t, tartest.Gzip(t, imageOf("ARM\x64", want))), "compressed twice: it holds a gzip file", "decompress it once"},
		{zbootOf([]byte("\x02\x21\x4c\x18")), "an EFI zboot image that holds an lz4 file", "tail -c +8193 FILE | head -c 4"},
		{zbootOf([]byte("?")), "an EFI zboot image of an unknown compression", "tail -c +8193 FILE | head -c 1"},
		{zbootOf(tartest.Gzip(t, zbootOf(tartest.Gzip(t, want)))), "compressed, and neither a tar archive, nor a kernel module, nor a kernel image", ""},
		{zbootOf(want), "compressed, and neither a tar archive, nor a kernel module, nor a kernel image", ""},
		{peOf(".text"), "not an archive of headers, a kernel module or a kernel image", ""},
	} {
		_, err := Read(bytes.NewReader(test.file), int64(len(test.file)))
		var f *FormatError
		if !errors.As(err, &f) || f.What != test.what || !strings.Contains(f.Hint, test.hint) || (f.Hint == "") != (test.hint == "") {
			t.Errorf("got %v (%+v), want %s, hint %s", err, f, test.what, test.hint)
		}
	}
}

// Numbers in headers that lead anywhere are refused.
func TestDamagedImages(t *testing.T) {
	want := archive(t, "A")
	for _, whole := range [][]byte{zbootOf(tartest.Gzip(t, imageOf("ARM\x64", want))), peOf(".text", ".linux")} {
		for n := range min(len(whole), 512) {
			bad := bytes.Clone(whole)
			copy(bad[n:], "\xff\xff\xff\xff")
			if a, err := Read(bytes.NewReader(bad), int64(len(bad))); err == nil && !bytes.Equal(a.Data, want) {
				t.Errorf("with byte %d changed: found %d bytes", n, len(a.Data))
			}
			_, _ = Read(bytes.NewReader(whole[:n]), int64(n))
		}
	}
	cut := zbootOf(tartest.Gzip(t, imageOf("ARM\x64", want)))[:8200]
	if _, err := Read(bytes.NewReader(cut), int64(len(cut))); err == nil || !strings.HasPrefix(err.Error(), "cut short: the kernel in the EFI zboot image ends at ") {
		t.Errorf("a zboot image cut short: %v", err)
	}
}

func TestArchiveReaderAt(t *testing.T) {
	data := archive(t, "A")
	a := &Archive{Data: data}
	must(t, iotest.TestReader(io.NewSectionReader(a, 0, a.Size()), data))
	n := a.Size()
	for _, test := range []struct {
		off, n int64
		ok     bool
	}{{0, n, true}, {0, 0, true}, {n, 0, true}, {5, 7, true}, {0, n + 1, false}, {1, n, false}, {-1, 1, false}, {1, -1, false}, {1 << 62, 1 << 62, false}, {n + 1, 0, false}} {
		got := a.Slice(test.off, test.n)
		if (got != nil) != test.ok || test.ok && !bytes.Equal(got, data[test.off:test.off+test.n]) {
			t.Errorf("%d bytes at %d: %d bytes, nil %v", test.n, test.off, len(got), got == nil)
		}
	}
}
