// SPDX-License-Identifier: Apache-2.0

// Package tartest makes the archives that tests read: a tar of any members, good
// and bad ones, and what compresses it. A test says what is in an archive in one line:
//
//	tartest.Tar(t, tartest.Dir("d"), tartest.File("d/f", "text"), tartest.Hardlink("h", "d/f"))
package tartest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Block is the size of a tar's blocks.
const Block = 512

// Time is the modification time of all members, unless a test says otherwise.
var Time = time.Unix(1_700_000_000, 0)

// A Member is what one name in a tar is made from.
type Member struct {
	Header tar.Header
	Data   string
	raw    []byte // instead of Header and Data: blocks as they are
}

// File returns a regular file.
func File(name, data string) Member {
	return Member{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644, ModTime: Time}, Data: data}
}

// Dir returns a directory.
func Dir(name string) Member {
	return Member{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: Time}}
}

// Symlink returns a symbolic link.
func Symlink(name, target string) Member {
	return Member{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: Time}}
}

// Hardlink returns a second name of the file target.
func Hardlink(name, target string) Member {
	return Member{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644, ModTime: Time}}
}

// Special returns a member of any type.
func Special(name string, typ byte) Member {
	return Member{Header: tar.Header{Typeflag: typ, Name: name, ModTime: Time}}
}

// Raw returns blocks that are written as they are.
func Raw(blocks ...[]byte) Member { return Member{raw: bytes.Join(blocks, nil)} }

// At returns the member with another time, in seconds after Time.
func (m Member) At(sec int64) Member {
	m.Header.ModTime = Time.Add(time.Duration(sec) * time.Second)
	return m
}

// Mode returns the member with another mode.
func (m Member) Mode(mode int64) Member {
	m.Header.Mode = mode
	return m
}

// As returns the member in a format of its own.
func (m Member) As(format tar.Format) Member {
	m.Header.Format = format
	return m
}

// Tar returns a tar of the members, with an end-of-archive marker.
func Tar(t testing.TB, members ...Member) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, m := range members {
		m.Write(t, &b)
	}
	return append(b.Bytes(), make([]byte, 2*Block)...)
}

// Write appends the member, padded to whole blocks. It returns the offset of its
// data.
func (m Member) Write(t testing.TB, b *bytes.Buffer) (off int64) {
	t.Helper()
	if m.raw != nil {
		b.Write(m.raw)
		return int64(b.Len())
	}
	w := tar.NewWriter(b)
	err := w.WriteHeader(&m.Header)
	off = int64(b.Len())
	if err == nil {
		_, err = w.Write([]byte(m.Data))
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		t.Fatalf("%s: %v", m.Header.Name, err)
	}
	return off
}

// Header returns a header block in the format of Unix version 7, changed by
// change. Its checksum is right.
func Header(typ byte, name string, size int, change func(b []byte)) []byte {
	b := make([]byte, Block)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00%011o\x00", size, Time.Unix()))
	b[156] = typ
	if change != nil {
		change(b)
	}
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// GNU makes a header one of old GNU tar.
func GNU(b []byte) { copy(b[257:], "ustar  \x00") }

// Ustar makes a header one of POSIX.1-1988.
func Ustar(b []byte) { copy(b[257:], "ustar\x0000") }

// Pax returns an extended header for the next member, of records "key=value".
func Pax(records ...string) []byte { return pax('x', records) }

// PaxGlobal returns a global extended header.
func PaxGlobal(records ...string) []byte { return pax('g', records) }

func pax(typ byte, records []string) []byte {
	var body string
	for _, r := range records {
		n := len(r) + 3
		for len(fmt.Sprint(n))+len(r)+2 != n {
			n++
		}
		body += fmt.Sprintf("%d %s\n", n, r)
	}
	return append(Header(typ, "pax", len(body), Ustar), Padded(body)...)
}

// Padded returns data filled up to whole blocks.
func Padded(data string) []byte {
	return append([]byte(data), make([]byte, -len(data)&(Block-1))...)
}

// XZ returns data as .xz, with blocks of the given size unless that is 0.
func XZ(t testing.TB, data []byte, blockSize int64) []byte {
	t.Helper()
	return XZWith(t, data, xz.WriterConfig{BlockSize: blockSize, CheckSum: xz.CRC64, DictCap: 1 << 20})
}

// XZWith returns data as .xz, encoded as config says.
func XZWith(t testing.TB, data []byte, config xz.WriterConfig) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := config.NewWriter(&b)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Gzip returns data as .gz.
func Gzip(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Zstd returns data as one frame of .zst.
func Zstd(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// Text returns n bytes that look like a header; the same for the same seed.
func Text(seed uint64, n int) string {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "#define CONFIG_%X_%d\t%#x\n", rnd.IntN(4096), rnd.IntN(50), rnd.Uint32())
	}
	return b.String()[:n]
}
