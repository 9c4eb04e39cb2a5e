// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// assembly is what kernel/kheaders.c makes of its archive, with other .xz
// files around it: an initramfs, and one that is only the beginning of a file.
const assembly = `
	.section .rodata
	.balign 16
	.asciz "front"
	.incbin "initramfs.xz"
	.incbin "broken.xz"
	.globl kernel_headers_data
kernel_headers_data:
	.incbin "kheaders.tar.xz"
	.globl kernel_headers_data_end
kernel_headers_data_end:
	.asciz "behind"
	.incbin "initramfs.xz"
	.section .init.ramfs, "a"
	.incbin "initramfs.xz"
	.data
	.quad 1
	.text
	.globl _start
_start:
	nop
`

// assemble makes kheaders.ko in a directory of its own.
func assemble(t *testing.T, archive []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cpio := strings.Repeat("070701"+strings.Repeat("0", 104)+"init\x00\x00", 50)
	write(t, filepath.Join(dir, "kheaders.tar.xz"), archive)
	write(t, filepath.Join(dir, "initramfs.xz"), xzOf(t, []byte(cpio)))
	write(t, filepath.Join(dir, "broken.xz"), archive[:50])
	write(t, filepath.Join(dir, "kheaders.s"), []byte(assembly))
	run(t, dir, "gcc", "-c", "-o", "kheaders.ko", "kheaders.s")
	return dir
}

// Objects as the kernel's own tools make them.
func TestObjects(t *testing.T) {
	want := archive(t, "A")
	for _, test := range []struct {
		name     string
		commands []string // after which the file is called f
		kind     string
	}{
		{"module", []string{"cp kheaders.ko f"}, KindModule},
		{"without debug symbols", []string{"strip --strip-debug -o f kheaders.ko"}, KindModule},
		{"without unneeded symbols", []string{"strip --strip-unneeded -o f kheaders.ko"}, KindModule},
		{"without symbols", []string{"strip --strip-all -o f kheaders.ko"}, KindModule},
		{"linked again", []string{"ld -r -o f kheaders.ko"}, KindModule},
		{"vmlinux", []string{"ld -Ttext=0xffffffff81000000 -o f kheaders.ko"}, KindImage},
		{"low vmlinux", []string{"ld -Ttext=0x100000 -o f kheaders.ko"}, KindImage},
		{"relocatable vmlinux", []string{"ld -pie --no-dynamic-linker -o f kheaders.ko"}, KindImage},
		{"vmlinux without symbols", []string{"ld -Ttext=0xffffffff81000000 -s -o f kheaders.ko"}, KindImage},
		{"compressed debug sections", []string{"gcc -g -Wa,--compress-debug-sections -c -o f kheaders.s"}, KindModule},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := assemble(t, want)
			for _, command := range test.commands {
				words := strings.Fields(command)
				run(t, dir, words[0], words[1:]...)
			}
			f := filepath.Join(dir, "f")
			file, err := os.ReadFile(f)
			must(t, err)
			a, err := Open(f)
			checkFound(t, a, err, want, test.kind, file)
			for _, pack := range [][]string{{"gzip"}, {"xz"}, {"xz", "--check=crc32", "--lzma2=dict=1MiB"}, {"zstd"}, {"zstd", "-19"}} {
				a, err := Open(write(t, f+".packed", packed(t, file, pack[0], pack[1:]...)))
				checkFound(t, a, err, want, test.kind, file)
			}
		})
	}
}

// Symbols that can't be right are passed over, and the archive searched for.
func TestSymbolsThatLie(t *testing.T) {
	want := archive(t, "A")
	other := archive(t, "B")
	for name, change := range map[string]func(*elfFile){
		"end before start":       func(e *elfFile) { e.start, e.end = e.end, e.start },
		"nothing between":        func(e *elfFile) { e.end = e.start },
		"start behind section":   func(e *elfFile) { e.start = 1 << 20 },
		"end behind section":     func(e *elfFile) { e.end = 1 << 20 },
		"end of 2^64-1":          func(e *elfFile) { e.end = 1<<64 - 1 },
		"start of 2^63":          func(e *elfFile) { e.start = 1 << 63 },
		"no section":             func(e *elfFile) { e.index = 0 },
		"section 4 of names":     func(e *elfFile) { e.index = 4 },
		"section 5 of 5":         func(e *elfFile) { e.index = 5 },
		"absolute":               func(e *elfFile) { e.index = 0xfff1 },
		"common":                 func(e *elfFile) { e.index = 0xfff2 },
		"section without data":   func(e *elfFile) { e.typ = 8 },
		"notes":                  func(e *elfFile) { e.typ = 7 },
		"below the address":      func(e *elfFile) { e.kind, e.addr = 2, 0xffffffff81000000 },
		"compressed symbols":     func(e *elfFile) { e.flags = 0x800 },
		"another archive behind": func(e *elfFile) { e.noSymbols = true; e.data = append(e.data, other...) },
	} {
		t.Run(name, func(t *testing.T) {
			e := moduleOf(want)
			// Another .xz right behind would be taken for a second stream.
			e.data = append(e.data, 1)
			change(&e)
			file := e.bytes()
			a, err := Read(bytes.NewReader(file), int64(len(file)))
			kind := KindModule
			if e.kind != 1 {
				kind = KindImage
			}
			checkFound(t, a, err, want, kind, file)
		})
	}
}

// What symbols enclose is taken at their word: who opens it tells what it is.
func TestSymbolsAreBelieved(t *testing.T) {
	e := moduleOf(archive(t, "A"))
	e.start += 100
	file := e.bytes()
	a, err := Read(bytes.NewReader(file), int64(len(file)))
	checkFound(t, a, err, e.data[e.start:e.end], KindModule, file)

	// A section larger than the file takes no memory before that is noticed.
	e = moduleOf(archive(t, "A"))
	e.size, e.end = 100<<20, 100<<20
	file = e.bytes()
	_, err = Read(bytes.NewReader(file), int64(len(file)))
	if err == nil || !strings.HasPrefix(err.Error(), "cut short: the archive in it ends at 104857664, the file at ") {
		t.Errorf("a section of 100 MiB: %v", err)
	}
	e.size, e.end = 200<<20, 200<<20
	file = e.bytes()
	_, err = Read(bytes.NewReader(file), int64(len(file)))
	if err == nil || err.Error() != "size of the archive in it exceeds 128 MiB" {
		t.Errorf("a section of 200 MiB: %v", err)
	}
}

// The names of an ELF file's sections can be a bomb, too.
func TestCompressedNames(t *testing.T) {
	want := archive(t, "A")
	bomb := make([]byte, 24, 100_000) // Elf64_Chdr
	bomb[0] = 1                       // ELFCOMPRESS_ZLIB
	binary.LittleEndian.PutUint64(bomb[8:], 32<<20)
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, err := w.Write(make([]byte, 32<<20))
	must(t, err)
	must(t, w.Close())
	e := moduleOf(want)
	e.names = append(bomb, packed.Bytes()...)
	file := e.bytes()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a, err := Read(bytes.NewReader(file), int64(len(file)))
	runtime.ReadMemStats(&after)
	checkFound(t, a, err, want, KindModule, file)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("took %d bytes of memory", took)
	}
}

// Very many places that begin like an .xz, each followed by the same long row
// of chunks, would be walked over for hours.
func TestSearchIsGivenUp(t *testing.T) {
	small := archive(t, "A")
	const row, rows, header = 1 << 16, 64, 24
	file := make([]byte, rows*row)
	copy(file[56:], "ARM\x64")
	for r := range rows {
		at := r * row
		if r > 0 { // a chunk that is not compressed, up to the next row
			copy(file[at-3:], []byte{2, (row - 4) >> 8, (row - 4) & 0xff})
		}
		for at += 64; at < (r+1)*row-header-6; at += header + 3 {
			copy(file[at:], small[:header])
			n := (r+1)*row - 3 - (at + header + 3)
			copy(file[at+header:], []byte{1, byte((n - 1) >> 8), byte(n - 1)})
		}
	}
	if _, err := Read(bytes.NewReader(file), int64(len(file))); !errors.Is(err, errGivenUp) {
		t.Error(err)
	}
}

// A module that is cut anywhere, or has any byte changed, makes nothing panic,
// and what is found lies in the file.
func TestDamagedObjects(t *testing.T) {
	whole := moduleOf(archive(t, "A")).bytes()
	check := func(file []byte) {
		a, err := Read(bytes.NewReader(file), int64(len(file)))
		if err == nil && (a.Offset < 0 || !bytes.HasPrefix(file[a.Offset:], a.Data)) {
			t.Errorf("found %d bytes at %d that aren't in the file", len(a.Data), a.Offset)
		}
	}
	for n := range whole {
		check(whole[:n])
		bad := bytes.Clone(whole)
		bad[n] ^= 0xff
		check(bad)
		if n+8 <= len(bad) {
			binary.LittleEndian.PutUint64(bad[n:], 1<<63-1)
			check(bad)
		}
	}
}

// An .xz that begins anywhere near the edge of two reads is found.
func TestSearchAcrossReads(t *testing.T) {
	want := archive(t, "A")
	for at := 1<<20 - 8; at < 1<<20+3; at++ {
		file := append(make([]byte, at), want...)
		copy(file[56:], "ARM\x64")
		a, err := Read(bytes.NewReader(file), int64(len(file)))
		checkFound(t, a, err, want, KindImage, file)
	}
}
