// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

func objects(f *testing.F) [][]byte {
	want := archive(f, "A")
	module := moduleOf(want)
	stripped := module
	stripped.noSymbols = true
	vmlinux := module
	vmlinux.kind, vmlinux.addr = 2, 1<<20
	vmlinux.start, vmlinux.end = module.start+1<<20, module.end+1<<20
	nothing := module
	nothing.typ = 8
	return [][]byte{module.bytes(), stripped.bytes(), vmlinux.bytes(), nothing.bytes()}
}

// FuzzRead: no bytes make Read panic, and what it finds lies in them.
func FuzzRead(f *testing.F) {
	want := archive(f, "A")
	image := append(make([]byte, 101), want...)
	copy(image[56:], "ARM\x64")
	f.Add(want)
	f.Add(image)
	f.Add([]byte{})
	for _, object := range objects(f) {
		f.Add(object)
		f.Add(append(object, signature...))
		f.Add(xzOf(f, object))
		f.Add(tartest.Gzip(f, object))
		f.Add(tartest.Zstd(f, object))
		f.Add(zbootOf(tartest.Gzip(f, object)))
	}
	f.Add(tartest.Gzip(f, image))
	f.Add(zbootOf(tartest.Zstd(f, image)))
	f.Add(zbootOf(xzOf(f, image)))
	f.Add(peOf(".text", ".linux"))
	tar := packed(f, want, "xz", "-d")
	f.Add(tar)
	f.Add(tartest.Gzip(f, tar))
	f.Add(tartest.Zstd(f, tar))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		a, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		isPacked := bytes.HasPrefix(data, []byte("\x1f\x8b")) || bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")) ||
			bytes.HasPrefix(data, []byte("\xfd7zXZ\x00")) || isZboot(data)
		isPacked = isPacked && a.Kind != KindArchive
		if !isPacked && (a.Offset < 0 || a.Offset > int64(len(data)) || !bytes.HasPrefix(data[a.Offset:], a.Data)) {
			t.Errorf("found %d bytes at %d that aren't in the file", len(a.Data), a.Offset)
		}
	})
}

// FuzzSymbols: no ELF file makes symbols panic or tell an end in front of the
// start.
func FuzzSymbols(f *testing.F) {
	for _, object := range objects(f) {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, start, end, err := symbols(bytes.NewReader(data))
		if err != nil {
			t.Error(err) // debug/elf panicked, which is worth to know
		}
		if start != -1 && (start < 0 || end <= start) {
			t.Errorf("from %d to %d", start, end)
		}
	})
}

func FuzzParseProgram(f *testing.F) {
	for _, object := range objects(f) {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, ok := ParseProgram(data)
		if !ok && p != (Program{}) {
			t.Errorf("%v of what is no program", p)
		}
		if !HasGlibc(data, p.Glibc) {
			t.Errorf("no %s in it", p.Glibc)
		}
	})
}
