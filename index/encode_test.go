// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
)

// walked is the tree that a tar makes, with the offsets that its files have there.
func walked(t testing.TB, tarBytes []byte) *Tree {
	t.Helper()
	b := newBuilder()
	must(t, readTar(bytes.NewReader(tarBytes), b, newWriteSink(io.Discard)))
	return b.finish()
}

// indexOf makes the index of a tar while writing that.
func indexOf(t testing.TB, members ...member) (index, tarBytes []byte) {
	t.Helper()
	x := NewIndexer()
	var b bytes.Buffer
	for _, m := range members {
		w := tar.NewWriter(&b)
		must(t, w.WriteHeader(&m.header))
		if m.header.Typeflag == tar.TypeLink { // which no Indexer is asked for, but an index may hold
			must(t, x.b.link(m.header.Name, m.header.Linkname))
		} else {
			must(t, x.Add(&m.header, int64(b.Len())))
		}
		_, err := w.Write([]byte(m.data))
		must(t, err)
		must(t, w.Flush())
	}
	index, err := x.Encode([32]byte{1, 2, 3}, 0)
	must(t, err)
	return index, append(b.Bytes(), make([]byte, 2*tarBlock)...)
}

// fixIndex makes the checksum of an index right.
func fixIndex(b []byte) []byte {
	if len(b) >= 16 {
		binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[16:], castagnoli))
	}
	return b
}

// withZeros gives a tree data of zeros, so that all of it can be read.
func withZeros(tree *Tree, size int) *Tree {
	tree.data.Load().store = newStore([]block{{0, size}}, 0, func(int, []byte) ([]byte, error) { return make([]byte, size), nil })
	return tree
}

var indexed = []struct {
	name    string
	members []member
}{
	{"nothing", nil},
	{"one file", []member{file("./a", "x")}},
	{"an empty file", []member{file("./a", "")}},
	{"all kinds", []member{dir("./d/"), file("./d/b", "12345"), file("./d/x", "#!").mode(0o755), symlink("./l", "d/b"), dir("./e/")}},
	{"directories that nobody names", []member{file("a/b/c/d", "1").at(5), file("a/z", "2").at(-7), symlink("b/l", "x").at(9)}},
	{"the top directory", []member{dir("./").at(3), file("./a", "x")}},
	{"times", []member{file("a", "").at(-3_000_000_000), file("b", "").at(7_000_000_000)}},
	{"names that come twice", []member{file("a", "1"), file("b", "2"), file("a", "333"), dir("c"), file("c", "4"), file("e", "5"), dir("e"), dir("e").at(8)}},
	{"a name as another one's target", []member{symlink("a", "b"), symlink("b", "a"), file("c", "")}},
	{"long names", []member{file(strings.Repeat("long/", 127)+"n", "x"), file(strings.Repeat("n", 255), "y"), symlink("l", strings.Repeat("t", 4095))}},
	{"any bytes", []member{file("\xff\n\t\\ é", "x"), symlink("\x01", "\xfe")}},
	{"hard links", []member{file("a", "x"), hardlink("h", "a"), hardlink("d/h", "h"), symlink("l", "a"), hardlink("m", "l")}},
	{"many", func() (all []member) {
		for i := range 3000 {
			all = append(all, file(fmt.Sprintf("./include/%d/%d.h", i%37, i), text(uint64(i), i%700)))
		}
		return all
	}()},
}

// An index is the table that walking over the tar makes.
func TestIndexRoundTrip(t *testing.T) {
	for _, test := range indexed {
		t.Run(test.name, func(t *testing.T) {
			b, tarBytes := indexOf(t, test.members...)
			tree, err := decodeIndex(b, int64(len(tarBytes)), nil)
			must(t, err)
			want := walked(t, tarBytes)
			if !bytes.Equal(tree.table, want.table) || tree.strings != want.strings || tree.Bytes != want.Bytes {
				t.Error("another tree than the tar makes")
			}
			if tree.Hash != [32]byte{1, 2, 3} {
				t.Errorf("the hash is %x", tree.Hash)
			}
			checkTree(t, withZeros(tree, len(tarBytes)))
			again, _ := indexOf(t, test.members...)
			if !bytes.Equal(again, b) {
				t.Error("another time it has other bytes")
			}
		})
	}
}

// Offsets change nothing but themselves: not the size of an index.
func TestMoveLast(t *testing.T) {
	x := NewIndexer()
	f := file("a", "12345")
	must(t, x.Add(&f.header, 0))
	before, err := x.Encode([32]byte{}, 0)
	must(t, err)
	x.MoveLast(1 << 29)
	after, err := x.Encode([32]byte{}, 0)
	must(t, err)
	tree, err := decodeIndex(after, 1<<30, nil)
	must(t, err)
	if id, ok := tree.Find("a"); !ok || tree.Entry(id).at != 1<<29 || len(before) != len(after) {
		t.Errorf("%+v, %d and %d bytes", tree.Entry(id), len(before), len(after))
	}
}

func TestIndexerErrors(t *testing.T) {
	for _, m := range []member{special("p", tar.TypeFifo), hardlink("h", "a"), file("../a", ""), file("/a", ""), file("", ""), symlink("l", ""), file("a/b", "")} {
		x := NewIndexer()
		a := file("a", "")
		must(t, x.Add(&a.header, 0))
		if err := x.Add(&m.header, 0); err == nil {
			t.Errorf("%q of type %q: no error", m.header.Name, m.header.Typeflag)
		}
	}
}

// badIndex is an index with all kinds of entries, for what is wrong to be put in.
type badIndex struct {
	table, strings []byte
	header         [indexHeaderSize]byte
	behind         string
}

// What it holds, in this order.
const (
	iRoot = iota
	iA    // file, which h is too
	iD    // directory with b, s, x
	iE    // empty directory
	iH
	iL // link
	iB
	iS // directory with f
	iX
	iF
	iEntries
)

const badSize = 10_000 // of the tar

func goodIndex(t testing.TB) *badIndex {
	b, _ := indexOf(t, dir("d"), dir("d/s"), dir("e"), file("a", "12345"), file("d/b", text(1, 600)), file("d/x", "#!").mode(0o755),
		symlink("l", "a"), hardlink("h", "a"), file("d/s/f", "f"))
	x := &badIndex{table: b[indexHeaderSize:][:iEntries*entrySize], strings: b[indexHeaderSize+iEntries*entrySize:]}
	copy(x.header[:], b)
	return x
}

func (x *badIndex) set(id, off, width int, v uint64) {
	for i := range width {
		x.table[id*entrySize+off+i] = byte(v >> (8 * i))
	}
}

// name gives an entry a new name.
func (x *badIndex) name(id int, name string) {
	x.set(id, 0, 4, uint64(len(x.strings)))
	x.set(id, 4, 1, uint64(len(name)))
	x.strings = append(x.strings, name...)
}

func (x *badIndex) target(target string) {
	x.set(iL, 32, 4, uint64(len(x.strings)))
	x.set(iL, 36, 4, uint64(len(target)))
	x.strings = append(x.strings, target...)
}

func (x *badIndex) bytes() []byte {
	b := bytes.Join([][]byte{x.header[:], x.table, x.strings, []byte(x.behind)}, nil)
	if n := binary.LittleEndian.Uint32(b[20:]); n != 0 && n < 1<<20 { // a test may have put something else there
		binary.LittleEndian.PutUint32(b[20:], uint32(len(x.strings)))
	}
	return fixIndex(b)
}

func TestBadIndex(t *testing.T) {
	le := binary.LittleEndian
	for _, test := range []struct {
		name   string
		change func(x *badIndex)
		want   string // empty: nothing is wrong
	}{
		{"nothing", func(x *badIndex) {}, ""},
		{"magic", func(x *badIndex) { x.header[7] = 1 }, "index: not one"},
		{"no entries", func(x *badIndex) { le.PutUint32(x.header[16:], 0) }, "index: 0 entries, outside of the limits of 1 and 262144"},
		{"too many entries", func(x *badIndex) { le.PutUint32(x.header[16:], maxEntries+1) }, "index: 262145 entries, outside of the limits of 1 and 262144"},
		{"most entries", func(x *badIndex) { le.PutUint32(x.header[16:], 1<<32-1) }, "index: 4294967295 entries, outside of"},
		{"an entry more", func(x *badIndex) { le.PutUint32(x.header[16:], iEntries+1) }, "bytes do not hold 11 entries and"},
		{"an entry less", func(x *badIndex) { le.PutUint32(x.header[16:], iEntries-1) }, "bytes do not hold 9 entries and"},
		{"sizes that come to the right sum", func(x *badIndex) {
			le.PutUint32(x.header[16:], iEntries-1)
			x.strings = append(x.table[(iEntries-1)*entrySize:], x.strings...)
			x.table = x.table[:(iEntries-1)*entrySize]
		}, "index: entry "},
		{"most strings", func(x *badIndex) { le.PutUint32(x.header[20:], 1<<32-1) }, "bytes do not hold 10 entries and 4294967295 bytes of names"},
		{"no strings", func(x *badIndex) { le.PutUint32(x.header[20:], 0) }, "bytes do not hold 10 entries and 0 bytes of names"},
		{"trailing bytes", func(x *badIndex) { x.behind = "x" }, "bytes do not hold 10 entries and"},
		{"hot files outside", func(x *badIndex) { x.header[31] = 1 }, "index: hot files outside of the archive"},
		{"strings that nobody uses", func(x *badIndex) { x.strings = append(x.strings, "more"...) }, ""}, // Verify finds them

		{"name outside", func(x *badIndex) { x.set(iA, 0, 4, uint64(len(x.strings))) }, "entry 1: a name outside of the names"},
		{"name far outside", func(x *badIndex) { x.set(iA, 0, 4, 1<<32-1) }, "entry 1: a name outside of the names"},
		{"name partly outside", func(x *badIndex) { x.set(iF, 4, 1, 255) }, "entry 9: a name outside of the names"},
		{"no name", func(x *badIndex) { x.set(iA, 4, 1, 0) }, `entry 1: the impossible name ""`},
		{".", func(x *badIndex) { x.name(iA, ".") }, `entry 1: the impossible name "."`},
		{"..", func(x *badIndex) { x.name(iA, "..") }, `entry 1: the impossible name ".."`},
		{"...", func(x *badIndex) { x.name(iA, "...") }, ""},
		{"slash", func(x *badIndex) { x.name(iA, "/") }, `entry 1: the impossible name "/"`},
		{"slash within", func(x *badIndex) { x.name(iA, "a/b") }, `entry 1: the impossible name "a/b"`},
		{"slash behind", func(x *badIndex) { x.name(iD, "d/") }, `entry 2: the impossible name "d/"`},
		{"NUL", func(x *badIndex) { x.name(iA, "a\x00") }, `entry 1: the impossible name "a\x00"`},
		{"the root has a name", func(x *badIndex) { x.name(iRoot, "r") }, `entry 0: the impossible name "r"`},
		{"the root is called ..", func(x *badIndex) { x.name(iRoot, "..") }, `entry 0: the impossible name ".."`},
		{"the longest name", func(x *badIndex) { x.name(iL, strings.Repeat("l", 255)) }, ""},

		{"kind", func(x *badIndex) { x.set(iA, 5, 1, 4) }, "entry 1: kind 4 is not known"},
		{"kind of the root", func(x *badIndex) { x.set(iRoot, 5, 1, 255) }, "entry 0: kind 255 is not known"},
		{"the root is a file", func(x *badIndex) { x.set(iRoot, 5, 1, 1) }, "entry 0: the first one is not the top directory"},
		{"a directory is a file", func(x *badIndex) { x.set(iS, 5, 1, 1) }, "entry 9: is not among the children of its directory"},
		{"a file is a directory", func(x *badIndex) { x.set(iB, 5, 1, 0) }, "entry 6: impossible children"},
		{"reserved", func(x *badIndex) { x.set(iA, 6, 1, 1) }, "entry 1: a reserved field is not zero"},
		{"reserved, too", func(x *badIndex) { x.set(iRoot, 7, 1, 128) }, "entry 0: a reserved field is not zero"},

		{"parent of the root", func(x *badIndex) { x.set(iRoot, 8, 4, 2) }, "entry 0: the first one is not the top directory"},
		{"parent not there", func(x *badIndex) { x.set(iF, 8, 4, iEntries) }, "entry 9: is not among the children of its directory"},
		{"parent far away", func(x *badIndex) { x.set(iF, 8, 4, 1<<32-1) }, "entry 9: is not among the children of its directory"},
		{"its own parent", func(x *badIndex) { x.set(iD, 8, 4, iD) }, "entry 2: is not among the children of its directory"},
		{"parent below", func(x *badIndex) { x.set(iD, 8, 4, iS) }, "entry 2: is not among the children of its directory"},
		{"another parent", func(x *badIndex) { x.set(iF, 8, 4, iD) }, "entry 9: is not among the children of its directory"},
		{"an empty parent", func(x *badIndex) { x.set(iB, 8, 4, iE) }, "entry 6: is not among the children of its directory"},
		{"a parent that is a file", func(x *badIndex) { x.set(iB, 8, 4, iA) }, "entry 6: is not among the children of its directory"},
		{"a parent that is a link", func(x *badIndex) { x.set(iB, 8, 4, iL) }, "entry 6: is not among the children of its directory"},

		{"same name", func(x *badIndex) { x.name(iD, "a") }, "entry 2: is out of order"},
		{"order", func(x *badIndex) { x.name(iD, "Z") }, "entry 2: is out of order"},
		{"order of bytes", func(x *badIndex) { x.name(iA, "\xff") }, "entry 2: is out of order"},
		{"order at the end", func(x *badIndex) { x.name(iX, "s") }, "entry 8: is out of order"},

		{"inode not there", func(x *badIndex) { x.set(iA, 12, 4, iEntries) }, "entry 1: an inode that is not there"},
		{"inode far away", func(x *badIndex) { x.set(iA, 12, 4, 1<<31) }, "entry 1: an inode that is not there"},
		{"inode behind", func(x *badIndex) { x.set(iA, 12, 4, iH) }, "entry 1: an impossible inode"},
		{"first name behind", func(x *badIndex) { x.set(iA, 12, 4, iH); x.set(iH, 12, 4, iH) }, "entry 1: an impossible inode"},
		{"first name behind, and wrong", func(x *badIndex) { x.set(iA, 12, 4, iH); x.set(iH, 12, 4, iH); x.set(iH, 5, 1, 9) }, "entry 1: an impossible inode"},
		{"inode of an inode", func(x *badIndex) { x.set(iF, 12, 4, iH) }, "entry 9: an impossible inode"},
		{"inode of the root", func(x *badIndex) { x.set(iA, 12, 4, iRoot) }, "entry 1: is not the same as its inode's first name"},
		{"inode of a directory", func(x *badIndex) { x.set(iE, 12, 4, iD) }, "entry 3: impossible children"},
		{"inode of another kind", func(x *badIndex) { x.set(iL, 12, 4, iA) }, "entry 5: is not the same as its inode's first name"},
		{"inode of another file", func(x *badIndex) { x.set(iB, 12, 4, iA) }, "entry 6: is not the same as its inode's first name"},
		{"a hard link of its own", func(x *badIndex) { x.set(iH, 12, 4, iH) }, "entry 1: 2 links instead of 1"},
		{"a hard link with another size", func(x *badIndex) { x.set(iH, 36, 4, 4) }, "entry 4: is not the same as its inode's first name"},
		{"a hard link with another place", func(x *badIndex) { x.set(iH, 32, 4, 0) }, "entry 4: is not the same as its inode's first name"},
		{"a hard link of another kind", func(x *badIndex) { x.set(iH, 5, 1, 2) }, "entry 4: is not the same as its inode's first name"},
		{"a hard link of another second", func(x *badIndex) { x.set(iH, 24, 8, 0) }, "entry 4: is not the same as its inode's first name"},
		{"a hard link of another nanosecond", func(x *badIndex) { x.set(iH, 20, 4, 1) }, "entry 4: is not the same as its inode's first name"},

		{"links of a file", func(x *badIndex) { x.set(iB, 16, 4, 0) }, "entry 6: 0 links instead of 1"},
		{"links of one with two names", func(x *badIndex) { x.set(iH, 16, 4, 1) }, "entry 4: 1 links instead of 2"},
		{"links of a directory", func(x *badIndex) { x.set(iD, 16, 4, 2) }, "entry 2: 2 links instead of 3"},
		{"links of the root", func(x *badIndex) { x.set(iRoot, 16, 4, 5) }, "entry 0: 5 links instead of 4"},
		{"links of a link", func(x *badIndex) { x.set(iL, 16, 4, 1<<32-1) }, "entry 5: 4294967295 links instead of 1"},

		{"time", func(x *badIndex) { x.set(iA, 20, 4, 1e9) }, "entry 1: an impossible time"},
		{"last nanosecond", func(x *badIndex) { x.set(iB, 20, 4, 1e9-1) }, ""},
		{"first second", func(x *badIndex) { x.set(iB, 24, 8, 1<<63) }, ""},

		{"the root has a child less", func(x *badIndex) { x.set(iRoot, 36, 4, 4) }, "entry 2: impossible children"},
		{"the root has a child more", func(x *badIndex) { x.set(iRoot, 36, 4, 6) }, "entry 6: is not among the children of its directory"},
		{"the root has no children", func(x *badIndex) { x.set(iRoot, 36, 4, 0) }, "entry 1: is not among the children of its directory"},
		{"the root has very many", func(x *badIndex) { x.set(iRoot, 36, 4, 1<<32-1) }, "entry 0: impossible children"},
		{"the root is its own child", func(x *badIndex) { x.set(iRoot, 32, 4, 0) }, "entry 0: impossible children"},
		{"children too early", func(x *badIndex) { x.set(iD, 32, 4, 5) }, "entry 2: impossible children"},
		{"children too late", func(x *badIndex) { x.set(iD, 32, 4, 7) }, "entry 2: impossible children"},
		{"children overlap", func(x *badIndex) { x.set(iD, 36, 4, 4) }, "entry 9: is not among the children of its directory"},
		{"the last directory has none", func(x *badIndex) { x.set(iS, 36, 4, 0) }, "entry 9: is not among the children of its directory"},
		{"the last directory has one more", func(x *badIndex) { x.set(iS, 36, 4, 2) }, "entry 7: impossible children"},
		{"an empty directory begins nowhere", func(x *badIndex) { x.set(iE, 32, 4, 0) }, "entry 3: impossible children"},
		{"an empty directory isn't", func(x *badIndex) { x.set(iE, 36, 4, 1) }, "entry 9: is not among the children of its directory"},

		{"data at the end", func(x *badIndex) { x.set(iF, 32, 4, badSize-1) }, ""},
		{"data beyond the end", func(x *badIndex) { x.set(iF, 32, 4, badSize) }, "entry 9: data outside of the archive"},
		{"data far beyond the end", func(x *badIndex) { x.set(iF, 32, 4, 1<<32-1) }, "entry 9: data outside of the archive"},
		{"an empty file at the end", func(x *badIndex) { x.set(iF, 32, 4, badSize); x.set(iF, 36, 4, 0) }, ""},
		{"an empty file beyond the end", func(x *badIndex) { x.set(iF, 32, 4, badSize+1); x.set(iF, 36, 4, 0) }, "entry 9: data outside of the archive"},
		{"very much data", func(x *badIndex) { x.set(iX, 36, 4, 1<<32-1) }, "entry 8: data outside of the archive"},

		{"no target", func(x *badIndex) { x.target("") }, "entry 5: an impossible link target"},
		{"NUL in a target", func(x *badIndex) { x.target("a\x00b") }, "entry 5: an impossible link target"},
		{"target outside", func(x *badIndex) { x.set(iL, 32, 4, uint64(len(x.strings))) }, "entry 5: an impossible link target"},
		{"target far outside", func(x *badIndex) { x.set(iL, 32, 4, 1<<32-1) }, "entry 5: an impossible link target"},
		{"target partly outside", func(x *badIndex) { x.set(iL, 36, 4, uint64(len(x.strings)+1)) }, "entry 5: an impossible link target"},
		{"the longest target", func(x *badIndex) { x.target(strings.Repeat("t", 4095)) }, ""},
		{"a longer target", func(x *badIndex) { x.target(strings.Repeat("t", 4096)) }, "entry 5: an impossible link target"},
		{"any target", func(x *badIndex) { x.target("/../\n\xff") }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := goodIndex(t)
			test.change(x)
			tree, err := decodeIndex(x.bytes(), badSize, nil)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want == "":
				checkTree(t, withZeros(tree, badSize))
			case err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "index: "):
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestIndexVersion(t *testing.T) {
	for _, v := range []uint32{0, 2, 1 << 31} {
		x := goodIndex(t)
		binary.LittleEndian.PutUint32(x.header[8:], v)
		if _, err := decodeIndex(x.bytes(), badSize, nil); !errors.Is(err, errVersion) || err.Error() != fmt.Sprintf("index: an index of another version: %d", v) {
			t.Errorf("version %d: %v", v, err)
		}
	}
}

// Limits that no Indexer goes beyond, at them and one beyond.
func TestIndexLimits(t *testing.T) {
	chain := func(names ...string) *Indexer {
		x := NewIndexer()
		dir := x.b.root
		for i, name := range names {
			in := &inode{kind: kindDir, mtime: then}
			if i == len(names)-1 {
				in.kind = kindFile
			}
			must(t, x.b.insert(dir, name, in))
			dir = dir.children[name]
		}
		return x
	}
	repeat := func(name string, n int, more ...string) (all []string) {
		for range n {
			all = append(all, name)
		}
		return append(all, more...)
	}
	long := strings.Repeat("n", 255)
	for _, test := range []struct {
		name string
		x    *Indexer
		good bool
	}{
		{"depth", chain(repeat("d", 128)...), true},
		{"depth", chain(repeat("d", 129)...), false},
		{"much depth", chain(repeat("d", 1000)...), false},
		{"path", chain(repeat(long, 16)...), true}, // 4,095 bytes
		{"path", chain(repeat(long, 15, long[1:], "f")...), false},
		{"long paths", chain(repeat(long, 128)...), false},
	} {
		b, err := test.x.Encode([32]byte{}, 0)
		must(t, err)
		tree, err := decodeIndex(b, 0, nil)
		if test.good && err != nil || !test.good && (err == nil || !strings.HasSuffix(err.Error(), ": too deep")) {
			t.Errorf("%s, %d entries: %v", test.name, test.x.b.entries, err)
		}
		if err == nil {
			checkTree(t, withZeros(tree, 0))
		}
	}
	// One larger than readers of tar take.
	x := NewIndexer()
	for i := range 25_000 {
		must(t, x.b.insert(x.b.root, fmt.Sprint(i), &inode{kind: kindFile}))
	}
	if _, err := x.Encode([32]byte{}, 0); err == nil || !strings.Contains(err.Error(), "more than the limit of 1048512") {
		t.Errorf("got %v", err)
	}
}

// Every byte counts: the checksum is over all that is behind it.
func TestIndexFlips(t *testing.T) {
	good := goodIndex(t).bytes()
	for i := range good {
		for _, bit := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= bit
			if _, err := decodeIndex(bad, badSize, nil); err == nil {
				t.Errorf("byte %d: no error", i)
			}
			// With the checksum made right, it is refused, or a tree.
			if tree, err := decodeIndex(fixIndex(bad), badSize, nil); err == nil {
				checkTree(t, withZeros(tree, badSize))
			}
		}
	}
	for n := range good {
		if _, err := decodeIndex(fixIndex(bytes.Clone(good[:n])), badSize, nil); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
}

// FuzzDecodeIndex: an index of any bytes is refused, or a tree of which all
// holds that must.
func FuzzDecodeIndex(f *testing.F) {
	for _, test := range indexed[:len(indexed)-1] {
		b, _ := indexOf(f, test.members...)
		f.Add(b, uint32(10_000))
	}
	f.Add(goodIndex(f).bytes(), uint32(badSize))
	f.Fuzz(func(t *testing.T, b []byte, size uint32) {
		if len(b) > 1<<14 {
			return
		}
		size %= 1 << 17
		b = bytes.Clone(b)
		if len(b) >= indexHeaderSize {
			copy(b, indexMagic)
			binary.LittleEndian.PutUint32(b[8:], indexVersion)
			// Sizes that fit, so that changes of the length get further.
			if n := uint32(len(b) - indexHeaderSize); binary.LittleEndian.Uint32(b[16:])*entrySize <= n {
				binary.LittleEndian.PutUint32(b[20:], n-binary.LittleEndian.Uint32(b[16:])*entrySize)
			}
		}
		if tree, err := decodeIndex(fixIndex(b), int64(size), nil); err == nil {
			checkTree(t, withZeros(tree, int(size)))
		}
	})
}

// Files that overlap make a small archive hold more than there is on any disk.
func TestIndexOverlap(t *testing.T) {
	x := NewIndexer()
	for i := range 3 {
		must(t, x.Add(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i), Size: 4000}, 512))
	}
	b, err := x.Encode([32]byte{}, 0)
	must(t, err)
	if _, err := decodeIndex(b, 10000, nil); err == nil || !strings.Contains(err.Error(), "files of 12000 bytes in an archive of 10000") {
		t.Error(err)
	}
	if _, err := decodeIndex(b, 12000, nil); err != nil {
		t.Error(err)
	}
}
