// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// run runs a command in a directory.
func run(t testing.TB, dir, name string, args ...string) {
	t.Helper()
	need.Command(t, name)
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// packed runs a packer over data.
func packed(t testing.TB, data []byte, name string, args ...string) []byte {
	t.Helper()
	need.Command(t, name)
	cmd := exec.Command(name, append([]string{"-c", "-q"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file and the directories that it lies in.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, data, 0o600))
	return name
}

func xzOf(t testing.TB, data []byte) []byte {
	t.Helper()
	return tartest.XZ(t, data, 0)
}

// archive returns a small .tar.xz. The marker makes it another one.
func archive(t testing.TB, marker string) []byte {
	t.Helper()
	var members []tartest.Member
	for i := range 20 {
		body := strings.Repeat(fmt.Sprintf("#define %s_%d\n", marker, i), 30)
		members = append(members, tartest.File(fmt.Sprintf("./include/%d.h", i), body))
	}
	return tartest.XZ(t, tartest.Tar(t, members...), 0)
}

// An elfFile is written by hand where no assembler makes what a test wants: a
// 64-bit, little-endian object with one section of data and two symbols.
type elfFile struct {
	kind       uint16 // ET_REL is 1, ET_EXEC 2
	data       []byte
	typ        uint32 // of the section: SHT_PROGBITS is 1, SHT_NOBITS 8
	addr       uint64
	size       uint64 // of the section if not that of data
	start, end uint64 // values of the symbols
	index      uint16 // of their section, 1 is right
	noSymbols  bool
	flags      uint64 // of the symbol table
	names      []byte // compressed, instead of the sections' names
}

// moduleOf is an object with the archive behind some other bytes, as it is in
// kheaders.ko.
func moduleOf(archive []byte) elfFile {
	const front = 13
	return elfFile{
		kind: 1, typ: 1, data: append(make([]byte, front), archive...),
		start: front, end: front + uint64(len(archive)), index: 1,
	}
}

func (e elfFile) bytes() []byte {
	const header, section = 64, 64
	le := binary.LittleEndian
	names := "\x00.rodata\x00.symtab\x00.strtab\x00.shstrtab\x00"
	strs := "\x00" + symbolStart + "\x00" + symbolEnd + "\x00"
	symbol := func(name uint32, value uint64) []byte {
		b := le.AppendUint32(nil, name)
		b = le.AppendUint16(append(b, 0x10, 0), e.index)
		return le.AppendUint64(le.AppendUint64(b, value), 0)
	}
	syms := make([]byte, 24)
	if !e.noSymbols {
		syms = append(syms, symbol(1, e.start)...)
		syms = append(syms, symbol(uint32(2+len(symbolStart)), e.end)...)
	}
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, header-7)...)
	le.PutUint16(b[16:], e.kind)
	le.PutUint16(b[18:], 62) // EM_X86_64
	le.PutUint32(b[20:], 1)
	le.PutUint16(b[52:], header)
	le.PutUint16(b[58:], section)
	le.PutUint16(b[60:], 5)
	le.PutUint16(b[62:], 4)
	table := make([]byte, section) // the first one is empty
	add := func(name, typ uint32, flags, addr uint64, data []byte, size uint64, link uint32, entry uint64) {
		t := le.AppendUint32(le.AppendUint32(nil, name), typ)
		for _, v := range []uint64{flags, addr, uint64(len(b)), size} {
			t = le.AppendUint64(t, v)
		}
		t = le.AppendUint32(le.AppendUint32(t, link), 1)
		table = append(table, le.AppendUint64(le.AppendUint64(t, 1), entry)...)
		b = append(b, data...)
	}
	size := e.size
	if size == 0 {
		size = uint64(len(e.data))
	}
	add(1, e.typ, 2, e.addr, e.data, size, 0, 0)
	add(9, 2, e.flags, 0, syms, uint64(len(syms)), 3, 24)
	add(17, 3, 0, 0, []byte(strs), uint64(len(strs)), 0, 0)
	if e.names != nil {
		add(25, 3, 0x800, 0, e.names, uint64(len(e.names)), 0, 0)
	} else {
		add(25, 3, 0, 0, []byte(names), uint64(len(names)), 0, 0)
	}
	le.PutUint64(b[40:], uint64(len(b)))
	return append(b, table...)
}
