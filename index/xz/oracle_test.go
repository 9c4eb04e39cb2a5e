// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	ulikunitz "github.com/ulikunitz/xz"
)

// A form is one of the ways to compress bytes to an .xz file.
type form struct {
	name string
	data []byte // unpacked
	make func(t testing.TB, data []byte) []byte
	// hugeDict is set if the declared dictionary size is so large that ulikunitz/xz
	// would allocate gigabytes.
	hugeDict bool
}

func args(a ...string) func(testing.TB, []byte) []byte {
	return func(t testing.TB, data []byte) []byte { return xzOf(t, data, a...) }
}

func forms() []form {
	small, large := text(5000), text(150_000)
	list := []form{
		{name: "empty", make: args()},
		{name: "one byte", data: small[:1], make: args()},
		{name: "one block", data: large, make: args("-T1")},
		{name: "level 0", data: large, make: args("-0")},
		{name: "level 9e", data: large, make: args("-9e")},
		{name: "blocks", data: large, make: args("-T1", "--block-size=65536")},
		{name: "uneven blocks", data: large, make: args("-T1", "--block-list=1,2,3,4,5,100000,0")},
		{name: "threads", data: large, make: args("-T2", "--block-size=65536")},
		{name: "zeros", data: make([]byte, 1<<20), make: args()},
		{name: "not compressible", data: noise(200_001), make: args()},
		{name: "compressible in part", data: append(append(noise(100_000), large...), noise(70_000)...), make: args()},
	}
	for _, check := range []string{"none", "crc32", "crc64", "sha256"} {
		list = append(list,
			form{name: "check " + check, data: small, make: args("--check=" + check)},
			form{name: "blocks, check " + check, data: large, make: args("-T1", "--block-size=100000", "--check="+check)})
	}
	for _, l := range []string{"lc=0,lp=0,pb=0", "lc=4,lp=0,pb=4", "lc=0,lp=4,pb=2", "lc=2,lp=2,pb=1", "lc=1,lp=3,pb=0"} {
		list = append(list, form{name: l, data: large, make: args("--lzma2=preset=6," + l)})
	}
	for _, dict := range []string{"4KiB", "6KiB", "64KiB", "3MiB"} {
		list = append(list, form{name: "dictionary of " + dict, data: large, make: args("--lzma2=dict=" + dict)})
	}
	for name, code := range map[string]byte{"1536MiB": 37, "4GiB-1": 40} {
		list = append(list, form{name: "dictionary of " + name, data: large, hugeDict: true,
			make: func(t testing.TB, data []byte) []byte { return setDict(t, xzOf(t, data, "-T1"), code) }})
	}

	// Files of several streams. Each half is compressed by itself.
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	zero := make([]byte, 4)
	halves := func(between, behind []byte) func(t testing.TB, data []byte) []byte {
		return func(t testing.TB, data []byte) []byte {
			n := len(data) / 2
			return join(xzOf(t, data[:n], "--check=sha256"), between, xzOf(t, data[n:], "-T1", "--block-size=50000"), behind)
		}
	}
	return append(list,
		form{name: "two streams", data: large, make: halves(nil, nil)},
		form{name: "padding behind", data: large, make: halves(nil, zero)},
		form{name: "padding between", data: large, make: halves(zero, nil)},
		form{name: "much padding", data: large, make: halves(make([]byte, 4096), make([]byte, 400))},
		form{name: "empty streams", make: func(t testing.TB, _ []byte) []byte {
			return join(xzOf(t, nil), zero, xzOf(t, nil, "--check=none"), xzOf(t, nil))
		}},
		form{name: "empty streams around", data: small, make: func(t testing.TB, data []byte) []byte {
			return join(xzOf(t, nil), xzOf(t, data), xzOf(t, nil), zero, zero)
		}})
}

func TestForms(t *testing.T) {
	for _, form := range forms() {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			packed := form.make(t, form.data)
			f, err := Parse(packed)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f.Reader())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, form.data) {
				t.Error("decodes to other bytes than were compressed")
			}
			if f.Unpacked() != int64(len(form.data)) {
				t.Errorf("Unpacked is %d, want %d", f.Unpacked(), len(form.data))
			}
			streams, blocks, unpacked := list(t, packed)
			if len(f.Streams) != streams || len(f.Blocks) != blocks || f.Unpacked() != unpacked {
				t.Errorf("%d streams, %d blocks, %d bytes; xz --list says %d, %d, %d",
					len(f.Streams), len(f.Blocks), f.Unpacked(), streams, blocks, unpacked)
			}
			if !form.hugeDict {
				compareUlikunitz(t, packed, form.data)
			}
			checkScan(t, packed)
			checkSalvage(t, f, packed)
		})
	}
}

// list returns what xz itself finds in a file.
func list(t *testing.T, packed []byte) (streams, blocks int, unpacked int64) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f.xz")
	if err := os.WriteFile(name, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("xz", "--list", "--robot", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(line, "\t"); fields[0] == "file" {
			streams, _ = strconv.Atoi(fields[1])
			blocks, _ = strconv.Atoi(fields[2])
			unpacked, _ = strconv.ParseInt(fields[4], 10, 64)
			return streams, blocks, unpacked
		}
	}
	t.Fatalf("xz --list: %s", out)
	return
}

func compareUlikunitz(t *testing.T, packed, want []byte) {
	t.Helper()
	r, err := ulikunitz.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("ulikunitz/xz decodes to other bytes (%v)", err)
	}
}

// checkScan checks that Scan finds the end of a file with other bytes behind it.
// Stream padding at the end does not count as part of the file.
func checkScan(t *testing.T, packed []byte) {
	t.Helper()
	want := int64(len(bytes.TrimRight(packed, "\x00")))
	for _, behind := range []string{"", "x", "\x00", "\x00\x00\x00\x00", "\x00\x00\x00\x00YZ", "xyz" + Magic,
		Magic, Magic + "\x00\x04", "\x00\x00" + Magic, strings.Repeat("YZ", 100), strings.Repeat("\x00", 1001)} {
		size, err := Scan(strings.NewReader(string(packed) + behind))
		if err != nil || size != want {
			t.Errorf("Scan with %d bytes %.12q behind: %d (%v), want %d", len(behind), behind, size, err, want)
		}
	}
}

// checkSalvage compares the blocks that Salvage finds from the start with those in
// the index at the end.
func checkSalvage(t *testing.T, f *File, packed []byte) {
	t.Helper()
	s := Salvage(packed)
	if len(s.Blocks) != len(f.Blocks) || len(s.Streams) != len(f.Streams) {
		t.Fatalf("Salvage finds %d streams with %d blocks, Parse %d with %d",
			len(s.Streams), len(s.Blocks), len(f.Streams), len(f.Blocks))
	}
	for i := range f.Blocks {
		if s.Blocks[i] != f.Blocks[i] {
			t.Errorf("block %d: Salvage finds %+v, Parse %+v", i, s.Blocks[i], f.Blocks[i])
		}
	}
}

// The dictionary is as large as the block needs, whatever its header declares.
func TestDictionaryTakesLittleMemory(t *testing.T) {
	data := text(100_000)
	for _, code := range []byte{22, 37, 39, 40} { // 8 MiB, 1.5 GiB, 3 GiB, 4 GiB-1
		packed := setDict(t, xzOf(t, data, "-T1"), code)
		var got []byte
		n := allocated(func() { got, _ = decode(packed) })
		if !bytes.Equal(got, data) {
			t.Errorf("dictionary %d: decodes to other bytes", code)
		}
		if n > 4<<20 {
			t.Errorf("dictionary %d: allocates %d bytes to decode %d", code, n, len(data))
		}
	}
}

func TestFilters(t *testing.T) {
	for _, filter := range []struct{ option, name string }{
		{"--x86", "0x04 (x86)"}, {"--powerpc", "0x05 (PowerPC)"}, {"--ia64", "0x06 (IA-64)"}, {"--arm", "0x07 (ARM)"},
		{"--armthumb", "0x08 (ARM-Thumb)"}, {"--sparc", "0x09 (SPARC)"}, {"--delta", "0x03 (delta)"},
	} {
		t.Run(filter.option, func(t *testing.T) {
			_, err := decode(xzOf(t, text(1000), filter.option, "--lzma2"))
			want := "xz block 1 of 1: filter " + filter.name + " is not supported, only LZMA2 alone is"
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}
