// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ulikunitz/xz"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A member is what one name in a tar is made from.
type member struct {
	header tar.Header
	data   string
	raw    []byte // instead of all else: blocks as they are
}

var then = time.Unix(1_700_000_000, 0)

func file(name, data string) member {
	return member{header: tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644, ModTime: then}, data: data}
}

func dir(name string) member {
	return member{header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: then}}
}

func symlink(name, target string) member {
	return member{header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: then}}
}

func hardlink(name, target string) member {
	return member{header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644, ModTime: then}}
}

func special(name string, typ byte) member {
	return member{header: tar.Header{Typeflag: typ, Name: name, ModTime: then}}
}

func raw(blocks ...[]byte) member { return member{raw: bytes.Join(blocks, nil)} }

// at gives a member another time, in seconds behind then.
func (m member) at(sec int64) member {
	m.header.ModTime = then.Add(time.Duration(sec) * time.Second)
	return m
}

func (m member) mode(mode int64) member {
	m.header.Mode = mode
	return m
}

func (m member) as(format tar.Format) member {
	m.header.Format = format
	return m
}

// tarOf makes a tar of its members, with an end-of-archive marker.
func tarOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, m := range members {
		if m.raw != nil {
			b.Write(m.raw)
			continue
		}
		w := tar.NewWriter(&b)
		must(t, w.WriteHeader(&m.header))
		_, err := w.Write([]byte(m.data))
		must(t, err)
		must(t, w.Flush())
	}
	return append(b.Bytes(), make([]byte, 2*tarBlock)...)
}

// rawHeader is a header block as the seventh edition of Unix made it, but for
// what change does to it. The checksum is right.
func rawHeader(typ byte, name string, size int, change func(b []byte)) []byte {
	b := make([]byte, tarBlock)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00%011o\x00", size, then.Unix()))
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

func gnu(b []byte)   { copy(b[257:], "ustar  \x00") }
func ustar(b []byte) { copy(b[257:], "ustar\x0000") }

// padded fills data up to whole blocks.
func padded(data string) []byte {
	return append([]byte(data), make([]byte, -len(data)&(tarBlock-1))...)
}

// xzOf packs data, with blocks of the given size unless that is 0.
func xzOf(t testing.TB, data []byte, blockSize int64) []byte {
	t.Helper()
	return xzWith(t, data, xz.WriterConfig{BlockSize: blockSize, CheckSum: xz.CRC64, DictCap: 1 << 20})
}

func xzWith(t testing.TB, data []byte, config xz.WriterConfig) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := config.NewWriter(&b)
	must(t, err)
	_, err = w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// treeOf reads a tar that isn't packed.
func treeOf(tarBytes []byte) (*Tree, error) {
	t, _, err := treeAndBlocks(tarBytes)
	return t, err
}

// treeAndBlocks returns the blocks that the tree's data is decoded from too:
// what is done to them is done to the tree.
func treeAndBlocks(tarBytes []byte) (*Tree, [][]byte, error) {
	b := newBuilder()
	p := newPacker()
	if err := readTar(bytes.NewReader(tarBytes), b, p); err != nil {
		return nil, nil, err
	}
	t := b.finish()
	t.data.Store(&data{store: p.finish(), table: t.table})
	return t, p.packed, nil
}

// read returns all of a file.
func read(t testing.TB, tree *Tree, id ID) []byte {
	t.Helper()
	b := make([]byte, tree.Entry(id).Size)
	if n, err := tree.ReadAt(id, b, 0); n != len(b) || err != nil && len(b) > 0 {
		t.Fatalf("%s: read %d of %d bytes: %v", tree.Path(id), n, len(b), err)
	}
	return b
}

// show tells of a tree in one line: "d/" is a directory, "f=text" a file, "f*"
// one with an x bit, "l->target" a symbolic link, and what follows # is the
// link count of a file that has more than one name.
func show(t testing.TB, tree *Tree) string {
	t.Helper()
	var all []string
	var walk func(id ID)
	walk = func(id ID) {
		e := tree.Entry(id)
		s := tree.Path(id)
		switch e.Mode {
		case syscall.S_IFDIR | 0o755:
			s += "/"
		case syscall.S_IFREG | 0o644:
			s += "=" + string(read(t, tree, id))
		case syscall.S_IFREG | 0o755:
			s += "*=" + string(read(t, tree, id))
		case syscall.S_IFLNK | 0o777:
			s += "->" + tree.Target(id)
		default:
			t.Errorf("%s: mode %#o", s, e.Mode)
		}
		if !e.IsDir() && e.Nlink > 1 {
			s += fmt.Sprintf("#%d", e.Nlink)
		}
		if id != Root {
			all = append(all, s)
		}
		first, n := tree.Children(id)
		for c := first; c < first+ID(n); c++ {
			walk(c)
		}
	}
	walk(Root)
	return strings.Join(all, " ")
}

// text returns n bytes that look like a header; the same for the same seed.
func text(seed uint64, n int) string {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "#define CONFIG_%X_%d\t%#x\n", rnd.IntN(4096), rnd.IntN(50), rnd.Uint32())
	}
	return b.String()[:n]
}
