// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// signature is what a signed module ends in (kernel/module_signature.h).
var signature = strings.Repeat("\x30\x82\xfd7zXZ\x00", 40) + "~Module signature appended~\n"

// checkFound compares an archive with the one that was hidden in file.
func checkFound(t *testing.T, a *Archive, err error, want []byte, kind string, unpacked []byte) {
	t.Helper()
	switch {
	case err != nil:
		t.Fatal(err)
	case !bytes.Equal(a.Data, want):
		t.Errorf("%d bytes of archive, want other %d", len(a.Data), len(want))
	case a.Kind != kind:
		t.Errorf("found in a %s, want %s", a.Kind, kind)
	case a.Offset < 0 || a.Offset > int64(len(unpacked)) || !bytes.HasPrefix(unpacked[a.Offset:], want):
		t.Errorf("the archive isn't at %d", a.Offset)
	}
}

// What a file is, is told from its content, never from its name.
func TestRead(t *testing.T) {
	want := archive(t, "A")
	plain := moduleOf(want).bytes()
	stripped := moduleOf(want)
	stripped.noSymbols = true
	signed := append(bytes.Clone(plain), signature...)
	image := func(magic string) []byte {
		b := append(make([]byte, 56), magic...)
		return append(append(append(b, make([]byte, 1_100_003)...), want...), signature...)
	}
	for _, test := range []struct {
		name     string
		file     []byte
		kind     string
		unpacked []byte // nil: as file
	}{
		{"kheaders.tar.xz", want, KindArchive, nil},
		{"archive called module.ko", want, KindArchive, nil},
		{"archive called module.ko.gz", want, KindArchive, nil},
		{"kheaders.ko", plain, KindModule, nil},
		{"module called foo.tar.xz", plain, KindModule, nil},
		{"kheaders.ko.gz", tartest.Gzip(t, plain), KindModule, plain},
		{"kheaders.ko.xz", xzOf(t, plain), KindModule, plain},
		{"kheaders.ko.zst", tartest.Zstd(t, plain), KindModule, plain},
		{"packed module called foo.ko", xzOf(t, plain), KindModule, plain},
		{"stripped.ko", stripped.bytes(), KindModule, nil},
		{"stripped.ko.zst", tartest.Zstd(t, stripped.bytes()), KindModule, stripped.bytes()},
		{"signed.ko", signed, KindModule, nil},
		{"signed.ko.xz", xzOf(t, signed), KindModule, signed},
		{"signed stripped.ko", append(stripped.bytes(), signature...), KindModule, nil},
		{"signature behind the packed module.ko.gz", append(tartest.Gzip(t, plain), tartest.Gzip(t, []byte(signature))...), KindModule, plain},
		{"Image", image("ARM\x64"), KindImage, nil},
		{"Image of RISC-V", image("RSC\x05"), KindImage, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			unpacked := test.unpacked
			if unpacked == nil {
				unpacked = test.file
			}
			a, err := Read(bytes.NewReader(test.file), int64(len(test.file)))
			checkFound(t, a, err, want, test.kind, unpacked)
			name := write(t, filepath.Join(t.TempDir(), test.name), test.file)
			a, err = Open(name)
			checkFound(t, a, err, want, test.kind, unpacked)
			if a.Path != name {
				t.Errorf("Path is %q", a.Path)
			}
		})
	}
}

// A damaged archive is passed on: who opens it can tell more of the damage.
func TestReadDamaged(t *testing.T) {
	want := archive(t, "A")
	for n := len("\xfd7zXZ\x00"); n < len(want); n++ {
		a, err := Read(bytes.NewReader(want[:n]), int64(n))
		checkFound(t, a, err, want[:n], KindArchive, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	bzImage := make([]byte, 4096)
	copy(bzImage[0x202:], "HdrS")
	const neither = "not an archive of headers, a kernel module or a kernel image"
	const unpacked = "compressed, and neither a tar archive, nor a kernel module, nor a kernel image"
	fifo := filepath.Join(dir, "fifo")
	must(t, syscall.Mkfifo(fifo, 0o600))
	must(t, os.Symlink(fifo, filepath.Join(dir, "link")))
	module := moduleOf(nil).bytes()
	for name, file := range map[string]struct {
		data []byte
		want string
	}{
		"fifo":          {nil, "not a regular file"},
		"link":          {nil, "not a regular file"},
		".":             {nil, "not a regular file"},
		"/dev/null":     {nil, "not a regular file"},
		"/proc/version": {nil, neither}, // tells a size of 0
		"missing":       {nil, "no such file or directory"},
		"missing/below": {nil, "no such file or directory"},
		"empty":         {[]byte{}, "the file is empty"},
		"one byte":      {[]byte{0x7f}, neither},
		"text":          {[]byte("#include <stdio.h>\n"), neither},
		"zeros.tar.xz":  {make([]byte, 8192), neither},
		"bzImage":       {bzImage, "a bzImage, which is a compressed kernel image"},
		"module":        {module, errNoHeaders.Error()},
		"module.xz":     {xzOf(t, module), errNoHeaders.Error()},
		"only ELF":      {[]byte("\x7fELF"), errNoHeaders.Error()},
		"text.gz":       {tartest.Gzip(t, []byte("text")), unpacked},
		"text.zst":      {tartest.Zstd(t, []byte("text")), unpacked},
		"nothing.gz":    {tartest.Gzip(t, nil), unpacked},
		"nothing.zst":   {tartest.Zstd(t, nil), unpacked},
		"archive.gz":    {tartest.Gzip(t, archive(t, "A")), "compressed twice: it holds an xz file"},
		"cut.gz":        {tartest.Gzip(t, module)[:100], "unexpected EOF"},
		"cut.zst":       {tartest.Zstd(t, module)[:50], "unexpected EOF"},
		"header.gz":     {[]byte("\x1f\x8b"), "unexpected EOF"},
		"header.zst":    {[]byte("\x28\xb5\x2f\xfd"), "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			path := name
			if !filepath.IsAbs(path) {
				path = dir + "/" + name
			}
			if file.data != nil {
				write(t, path, file.data)
			}
			// Where it blocks, the test does not end.
			_, err := Open(path)
			if err == nil || !strings.HasSuffix(err.Error(), file.want) || !strings.Contains(err.Error(), path+": ") {
				t.Errorf("got %v, want %s: %s", err, path, file.want)
			}
		})
	}
}

// Bombs are refused before they take memory.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 16<<20)
	behind := bytes.Repeat(packed(t, zeros, "xz", "-0"), MaxUnpacked/len(zeros)) // together too much
	large := write(t, filepath.Join(t.TempDir(), "large"), xzOf(t, nil))
	must(t, os.Truncate(large, MaxArchive+1)) // sparse
	const (
		noModule = "compressed, and neither a tar archive, nor a kernel module, nor a kernel image"
		frame    = "\x28\xb5\x2f\xfd" // of zstd, RFC 8878
	)
	for _, test := range []struct {
		name string
		data []byte
		want string
		most uint64 // bytes of memory
	}{
		{"zeros.gz", tartest.Gzip(t, zeros), noModule, 1 << 20},
		{"zeros.zst", packed(t, zeros, "zstd"), noModule, 32 << 20},
		{"ELF.xz", append(xzOf(t, moduleOf(nil).bytes()), behind...), "unpacked size exceeds 256 MiB", 1 << 20},
		{"a window of 128 MiB.zst", []byte(frame + "\x00\x88\x01\x00\x00"), noModule, 160 << 20},
		{"a window of 256 MiB.zst", []byte(frame + "\x00\x90\x01\x00\x00"), "window size exceeded", 1 << 20},
		{"a size of 2^40.zst", []byte(frame + "\xc0\x50\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00"), "frame size does not match size on stream", 4 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Read(bytes.NewReader(test.data), int64(len(test.data)))
			runtime.ReadMemStats(&after)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > test.most {
				t.Errorf("took %d bytes of memory, want at most %d", took, test.most)
			}
		})
	}
	if _, err := Open(large); err == nil || !strings.HasSuffix(err.Error(), "size exceeds 128 MiB") {
		t.Errorf("an archive just too large: %v", err)
	}
	const limit = 1 << 20
	for n, want := range map[int]string{limit - 1: "", limit: "", limit + 1: "size exceeds 1 MiB", 5 * limit: "size exceeds 1 MiB"} {
		for _, r := range []io.Reader{bytes.NewReader(zeros[:n]), io.NewSectionReader(bytes.NewReader(zeros), 7, int64(n))} {
			data, err := readAll(r, limit, "size")
			if got := fmt.Sprint(err); want != "" && got != want || want == "" && (err != nil || len(data) != n) {
				t.Errorf("reading %d bytes of at most %d: %d, %v", n, limit, len(data), err)
			}
		}
	}
}
