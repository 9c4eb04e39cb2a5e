// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// treeOf returns the tree of a tar, in memory.
func treeOf(tarBytes []byte) (*Tree, error) {
	f := File{r: bytes.NewReader(tarBytes), size: int64(len(tarBytes))}
	return f.Decode()
}

// openBytes opens an archive that lies in memory, as that of package source does.
func openBytes(b []byte) (*Tree, error) { return Open(inMemory{bytes.NewReader(b), b}, int64(len(b))) }

type inMemory struct {
	io.ReaderAt
	b []byte
}

func (m inMemory) Slice(off, n int64) []byte { return m.b[off:][:n] }

// openCacheFile opens bytes as a cache file, even if they do not look like one.
func openCacheFile(b []byte) (*Tree, error) {
	f, err := ParseCacheFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	return f.Tree(), nil
}

// stride is how far apart the bytes lie that a test damages one by one.
func stride() int {
	if testing.Short() {
		return 13
	}
	return 1
}

// verify verifies an archive.
func verify(b []byte) error { return Verify(bytes.NewReader(b), int64(len(b))) }

// hasIndex reports whether an archive is opened by its own index.
func hasIndex(t testing.TB, b []byte) bool {
	t.Helper()
	f, err := Parse(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	return f.Tree() != nil
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

// show returns a tree as one line: "d/" is a directory, "f=text" a file, "f*=text"
// an executable file, "l->target" a symbolic link; "#2" is the link count of a file
// that has more than one name.
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
