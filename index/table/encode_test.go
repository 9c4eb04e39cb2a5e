// SPDX-License-Identifier: Apache-2.0

package table_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/table"
	"github.com/kheadersfs/kheadersfs/index/table/tabletest"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build returns the table of a tar that holds the members, and the size of that.
func build(t testing.TB, members ...tartest.Member) (*table.Table, int64) {
	t.Helper()
	b := table.NewBuilder()
	var tarBytes bytes.Buffer
	for _, m := range members {
		must(t, b.Add(&m.Header, m.Write(t, &tarBytes)))
	}
	return b.Table(), int64(tarBytes.Len() + 2*tartest.Block)
}

// indexOf returns the index of a tar that holds the members, and the size of that.
func indexOf(t testing.TB, members ...tartest.Member) (index []byte, size int64) {
	t.Helper()
	tab, size := build(t, members...)
	x := table.Index{Table: tab, Hash: [32]byte{1, 2, 3}}
	return x.Encode(), size
}

// fixIndex corrects the checksum of an index.
func fixIndex(b []byte) []byte {
	if len(b) >= 16 {
		binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[16:], crc32.MakeTable(crc32.Castagnoli)))
	}
	return b
}

var indexed = []struct {
	name    string
	members []tartest.Member
}{
	{"nothing", nil},
	{"one file", []tartest.Member{tartest.File("./a", "x")}},
	{"an empty file", []tartest.Member{tartest.File("./a", "")}},
	{"all kinds", []tartest.Member{tartest.Dir("./d/"), tartest.File("./d/b", "12345"), tartest.File("./d/x", "#!").Mode(0o755), tartest.Symlink("./l", "d/b"), tartest.Dir("./e/")}},
	{"directories without a member", []tartest.Member{tartest.File("a/b/c/d", "1").At(5), tartest.File("a/z", "2").At(-7), tartest.Symlink("b/l", "x").At(9)}},
	{"the top directory", []tartest.Member{tartest.Dir("./").At(3), tartest.File("./a", "x")}},
	{"times", []tartest.Member{tartest.File("a", "").At(-3_000_000_000), tartest.File("b", "").At(7_000_000_000)}},
	{"names that come twice", []tartest.Member{tartest.File("a", "1"), tartest.File("b", "2"), tartest.File("a", "333"), tartest.Dir("c"), tartest.File("c", "4"), tartest.File("e", "5"), tartest.Dir("e"), tartest.Dir("e").At(8)}},
	{"a name as another one's target", []tartest.Member{tartest.Symlink("a", "b"), tartest.Symlink("b", "a"), tartest.File("c", "")}},
	{"long names", []tartest.Member{tartest.File(strings.Repeat("long/", 127)+"n", "x"), tartest.File(strings.Repeat("n", 255), "y"), tartest.Symlink("l", strings.Repeat("t", 4095))}},
	{"any bytes", []tartest.Member{tartest.File("\xff\n\t\\ é", "x"), tartest.Symlink("\x01", "\xfe")}},
	{"hard links", []tartest.Member{tartest.File("a", "x"), tartest.Hardlink("h", "a"), tartest.Hardlink("d/h", "h"), tartest.Symlink("l", "a"), tartest.Hardlink("m", "l")}},
	{"many", func() (all []tartest.Member) {
		for i := range 3000 {
			all = append(all, tartest.File(fmt.Sprintf("./include/%d/%d.h", i%37, i), tartest.Text(uint64(i), i%700)))
		}
		return all
	}()},
}

// Decode returns the table that was encoded.
func TestRoundTrip(t *testing.T) {
	for _, test := range indexed {
		t.Run(test.name, func(t *testing.T) {
			b, size := indexOf(t, test.members...)
			x, err := table.Decode(b, size)
			must(t, err)
			want, _ := build(t, test.members...)
			if !x.Equal(want) || x.Bytes != want.Bytes {
				t.Error("another table")
			}
			if x.Hash != [32]byte{1, 2, 3} {
				t.Errorf("the hash is %x", x.Hash)
			}
			tabletest.Check(t, x.Table)
			again, _ := indexOf(t, test.members...)
			if !bytes.Equal(again, b) {
				t.Error("encoded again it has other bytes")
			}
		})
	}
}

// Adding a name again moves its file, and does not change the size of the index.
func TestAddAgain(t *testing.T) {
	b := table.NewBuilder()
	f := tartest.File("a", "12345")
	must(t, b.Add(&f.Header, 0))
	before := (&table.Index{Table: b.Table()}).Encode()
	must(t, b.Add(&f.Header, 1<<29))
	after := (&table.Index{Table: b.Table()}).Encode()
	x, err := table.Decode(after, 1<<30)
	must(t, err)
	if id, ok := x.Find("a"); !ok || x.Offset(id) != 1<<29 || len(before) != len(after) {
		t.Errorf("%d, %d and %d bytes", x.Offset(id), len(before), len(after))
	}
}

// Moved returns a table that differs only in the offsets of files.
func TestMoved(t *testing.T) {
	tab, size := build(t, tartest.Dir("d"), tartest.File("d/a", "1"), tartest.Hardlink("h", "d/a"), tartest.Symlink("l", "h"), tartest.File("z", "2"))
	offsets := map[table.ID]int64{}
	for id := range table.ID(tab.Len()) {
		if e := tab.Entry(id); e.Ino == id {
			offsets[id] = 1000 + int64(id)
		}
	}
	moved := tab.Moved(offsets)
	if !moved.SameFiles(tab) || !tab.SameFiles(moved) || moved.Equal(tab) || moved.Bytes != tab.Bytes {
		t.Error("not the same files, or not moved")
	}
	for id := range table.ID(tab.Len()) {
		if e := moved.Entry(id); e.IsFile() && moved.Offset(id) != 1000+int64(e.Ino) {
			t.Errorf("%s lies at %d", moved.Path(id), moved.Offset(id))
		}
	}
	x, err := table.Decode((&table.Index{Table: moved}).Encode(), size)
	must(t, err)
	tabletest.Check(t, x.Table)
}

func TestAddErrors(t *testing.T) {
	for _, m := range []tartest.Member{tartest.Special("p", tar.TypeFifo), tartest.Hardlink("h", "b"), tartest.File("../a", ""), tartest.File("/a", ""),
		tartest.File("", ""), tartest.Symlink("l", ""), tartest.File("a/b", "")} {
		b := table.NewBuilder()
		a := tartest.File("a", "")
		must(t, b.Add(&a.Header, 0))
		if err := b.Add(&m.Header, 0); err == nil {
			t.Errorf("%q of type %q: no error", m.Header.Name, m.Header.Typeflag)
		}
	}
}

// A badIndex is an index with all kinds of entries, in which a test changes one thing.
type badIndex struct {
	table, strings []byte
	header         [table.HeaderSize]byte
	behind         string
}

// The entries of goodIndex, in their order.
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
	b, _ := indexOf(t, tartest.Dir("d"), tartest.Dir("d/s"), tartest.Dir("e"), tartest.File("a", "12345"), tartest.File("d/b", tartest.Text(1, 600)), tartest.File("d/x", "#!").Mode(0o755),
		tartest.Symlink("l", "a"), tartest.Hardlink("h", "a"), tartest.File("d/s/f", "f"))
	x := &badIndex{table: b[table.HeaderSize:][:iEntries*table.RecordSize], strings: b[table.HeaderSize+iEntries*table.RecordSize:]}
	copy(x.header[:], b)
	return x
}

func (x *badIndex) set(id, off, width int, v uint64) {
	for i := range width {
		x.table[id*table.RecordSize+off+i] = byte(v >> (8 * i))
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
		{"magic", func(x *badIndex) { x.header[7] = 1 }, "index: magic number is missing"},
		{"no entries", func(x *badIndex) { le.PutUint32(x.header[16:], 0) }, "index: 0 entries instead of 1 to 262144"},
		{"too many entries", func(x *badIndex) { le.PutUint32(x.header[16:], table.MaxEntries+1) }, "index: 262145 entries instead of 1 to 262144"},
		{"most entries", func(x *badIndex) { le.PutUint32(x.header[16:], 1<<32-1) }, "index: 4294967295 entries instead of"},
		{"an entry more", func(x *badIndex) { le.PutUint32(x.header[16:], iEntries+1) }, "11 entries and"},
		{"an entry less", func(x *badIndex) { le.PutUint32(x.header[16:], iEntries-1) }, "9 entries and"},
		{"sizes that come to the right sum", func(x *badIndex) {
			le.PutUint32(x.header[16:], iEntries-1)
			x.strings = append(x.table[(iEntries-1)*table.RecordSize:], x.strings...)
			x.table = x.table[:(iEntries-1)*table.RecordSize]
		}, "index: entry "},
		{"most strings", func(x *badIndex) { le.PutUint32(x.header[20:], 1<<32-1) }, "10 entries and 4294967295 bytes of names do not fit in"},
		{"no strings", func(x *badIndex) { le.PutUint32(x.header[20:], 0) }, "10 entries and 0 bytes of names do not fit in"},
		{"trailing bytes", func(x *badIndex) { x.behind = "x" }, "10 entries and"},
		{"hot files outside", func(x *badIndex) { x.header[31] = 1 }, "index: hot files lie outside of the archive"},
		{"strings that nobody uses", func(x *badIndex) { x.strings = append(x.strings, "more"...) }, ""}, // Verify finds them

		{"name outside", func(x *badIndex) { x.set(iA, 0, 4, uint64(len(x.strings))) }, "entry 1: name lies outside of the strings"},
		{"name far outside", func(x *badIndex) { x.set(iA, 0, 4, 1<<32-1) }, "entry 1: name lies outside of the strings"},
		{"name partly outside", func(x *badIndex) { x.set(iF, 4, 1, 255) }, "entry 9: name lies outside of the strings"},
		{"no name", func(x *badIndex) { x.set(iA, 4, 1, 0) }, `entry 1: impossible name ""`},
		{".", func(x *badIndex) { x.name(iA, ".") }, `entry 1: impossible name "."`},
		{"..", func(x *badIndex) { x.name(iA, "..") }, `entry 1: impossible name ".."`},
		{"...", func(x *badIndex) { x.name(iA, "...") }, ""},
		{"slash", func(x *badIndex) { x.name(iA, "/") }, `entry 1: impossible name "/"`},
		{"slash within", func(x *badIndex) { x.name(iA, "a/b") }, `entry 1: impossible name "a/b"`},
		{"slash behind", func(x *badIndex) { x.name(iD, "d/") }, `entry 2: impossible name "d/"`},
		{"NUL", func(x *badIndex) { x.name(iA, "a\x00") }, `entry 1: impossible name "a\x00"`},
		{"the root has a name", func(x *badIndex) { x.name(iRoot, "r") }, `entry 0: impossible name "r"`},
		{"the root is called ..", func(x *badIndex) { x.name(iRoot, "..") }, `entry 0: impossible name ".."`},
		{"the longest name", func(x *badIndex) { x.name(iL, strings.Repeat("l", 255)) }, ""},

		{"kind", func(x *badIndex) { x.set(iA, 5, 1, 4) }, "entry 1: unknown kind 4"},
		{"kind of the root", func(x *badIndex) { x.set(iRoot, 5, 1, 255) }, "entry 0: unknown kind 255"},
		{"the root is a file", func(x *badIndex) { x.set(iRoot, 5, 1, 1) }, "entry 0: the first entry is not the top directory"},
		{"a directory is a file", func(x *badIndex) { x.set(iS, 5, 1, 1) }, "entry 9: not among the children of its directory"},
		{"a file is a directory", func(x *badIndex) { x.set(iB, 5, 1, 0) }, "entry 6: impossible children"},
		{"reserved", func(x *badIndex) { x.set(iA, 6, 1, 1) }, "entry 1: reserved field is not zero"},
		{"reserved, too", func(x *badIndex) { x.set(iRoot, 7, 1, 128) }, "entry 0: reserved field is not zero"},

		{"parent of the root", func(x *badIndex) { x.set(iRoot, 8, 4, 2) }, "entry 0: the first entry is not the top directory"},
		{"parent not there", func(x *badIndex) { x.set(iF, 8, 4, iEntries) }, "entry 9: not among the children of its directory"},
		{"parent far away", func(x *badIndex) { x.set(iF, 8, 4, 1<<32-1) }, "entry 9: not among the children of its directory"},
		{"its own parent", func(x *badIndex) { x.set(iD, 8, 4, iD) }, "entry 2: not among the children of its directory"},
		{"parent below", func(x *badIndex) { x.set(iD, 8, 4, iS) }, "entry 2: not among the children of its directory"},
		{"another parent", func(x *badIndex) { x.set(iF, 8, 4, iD) }, "entry 9: not among the children of its directory"},
		{"an empty parent", func(x *badIndex) { x.set(iB, 8, 4, iE) }, "entry 6: not among the children of its directory"},
		{"a parent that is a file", func(x *badIndex) { x.set(iB, 8, 4, iA) }, "entry 6: not among the children of its directory"},
		{"a parent that is a link", func(x *badIndex) { x.set(iB, 8, 4, iL) }, "entry 6: not among the children of its directory"},

		{"same name", func(x *badIndex) { x.name(iD, "a") }, "entry 2: out of order"},
		{"order", func(x *badIndex) { x.name(iD, "Z") }, "entry 2: out of order"},
		{"order of bytes", func(x *badIndex) { x.name(iA, "\xff") }, "entry 2: out of order"},
		{"order at the end", func(x *badIndex) { x.name(iX, "s") }, "entry 8: out of order"},

		{"inode not there", func(x *badIndex) { x.set(iA, 12, 4, iEntries) }, "entry 1: inode does not exist"},
		{"inode far away", func(x *badIndex) { x.set(iA, 12, 4, 1<<31) }, "entry 1: inode does not exist"},
		{"inode behind", func(x *badIndex) { x.set(iA, 12, 4, iH) }, "entry 1: impossible inode"},
		{"first name behind", func(x *badIndex) { x.set(iA, 12, 4, iH); x.set(iH, 12, 4, iH) }, "entry 1: impossible inode"},
		{"first name behind, and wrong", func(x *badIndex) { x.set(iA, 12, 4, iH); x.set(iH, 12, 4, iH); x.set(iH, 5, 1, 9) }, "entry 1: impossible inode"},
		{"inode of an inode", func(x *badIndex) { x.set(iF, 12, 4, iH) }, "entry 9: impossible inode"},
		{"inode of the root", func(x *badIndex) { x.set(iA, 12, 4, iRoot) }, "entry 1: differs from the first name of its inode"},
		{"inode of a directory", func(x *badIndex) { x.set(iE, 12, 4, iD) }, "entry 3: impossible children"},
		{"inode of another kind", func(x *badIndex) { x.set(iL, 12, 4, iA) }, "entry 5: differs from the first name of its inode"},
		{"inode of another file", func(x *badIndex) { x.set(iB, 12, 4, iA) }, "entry 6: differs from the first name of its inode"},
		{"a hard link of its own", func(x *badIndex) { x.set(iH, 12, 4, iH) }, "entry 1: 2 links instead of 1"},
		{"a hard link with another size", func(x *badIndex) { x.set(iH, 36, 4, 4) }, "entry 4: differs from the first name of its inode"},
		{"a hard link with another place", func(x *badIndex) { x.set(iH, 32, 4, 0) }, "entry 4: differs from the first name of its inode"},
		{"a hard link of another kind", func(x *badIndex) { x.set(iH, 5, 1, 2) }, "entry 4: differs from the first name of its inode"},
		{"a hard link of another second", func(x *badIndex) { x.set(iH, 24, 8, 0) }, "entry 4: differs from the first name of its inode"},
		{"a hard link of another nanosecond", func(x *badIndex) { x.set(iH, 20, 4, 1) }, "entry 4: differs from the first name of its inode"},

		{"links of a file", func(x *badIndex) { x.set(iB, 16, 4, 0) }, "entry 6: 0 links instead of 1"},
		{"links of one with two names", func(x *badIndex) { x.set(iH, 16, 4, 1) }, "entry 4: 1 links instead of 2"},
		{"links of a directory", func(x *badIndex) { x.set(iD, 16, 4, 2) }, "entry 2: 2 links instead of 3"},
		{"links of the root", func(x *badIndex) { x.set(iRoot, 16, 4, 5) }, "entry 0: 5 links instead of 4"},
		{"links of a link", func(x *badIndex) { x.set(iL, 16, 4, 1<<32-1) }, "entry 5: 4294967295 links instead of 1"},

		{"time", func(x *badIndex) { x.set(iA, 20, 4, 1e9) }, "entry 1: impossible time"},
		{"last nanosecond", func(x *badIndex) { x.set(iB, 20, 4, 1e9-1) }, ""},
		{"first second", func(x *badIndex) { x.set(iB, 24, 8, 1<<63) }, ""},

		{"the root has a child less", func(x *badIndex) { x.set(iRoot, 36, 4, 4) }, "entry 2: impossible children"},
		{"the root has a child more", func(x *badIndex) { x.set(iRoot, 36, 4, 6) }, "entry 6: not among the children of its directory"},
		{"the root has no children", func(x *badIndex) { x.set(iRoot, 36, 4, 0) }, "entry 1: not among the children of its directory"},
		{"the root has very many", func(x *badIndex) { x.set(iRoot, 36, 4, 1<<32-1) }, "entry 0: impossible children"},
		{"the root is its own child", func(x *badIndex) { x.set(iRoot, 32, 4, 0) }, "entry 0: impossible children"},
		{"children too early", func(x *badIndex) { x.set(iD, 32, 4, 5) }, "entry 2: impossible children"},
		{"children too late", func(x *badIndex) { x.set(iD, 32, 4, 7) }, "entry 2: impossible children"},
		{"children overlap", func(x *badIndex) { x.set(iD, 36, 4, 4) }, "entry 9: not among the children of its directory"},
		{"the last directory has none", func(x *badIndex) { x.set(iS, 36, 4, 0) }, "entry 9: not among the children of its directory"},
		{"the last directory has one more", func(x *badIndex) { x.set(iS, 36, 4, 2) }, "entry 7: impossible children"},
		{"an empty directory begins nowhere", func(x *badIndex) { x.set(iE, 32, 4, 0) }, "entry 3: impossible children"},
		{"an empty directory isn't", func(x *badIndex) { x.set(iE, 36, 4, 1) }, "entry 9: not among the children of its directory"},

		{"data at the end", func(x *badIndex) { x.set(iF, 32, 4, badSize-1) }, ""},
		{"data beyond the end", func(x *badIndex) { x.set(iF, 32, 4, badSize) }, "entry 9: data lies outside of the archive"},
		{"data far beyond the end", func(x *badIndex) { x.set(iF, 32, 4, 1<<32-1) }, "entry 9: data lies outside of the archive"},
		{"an empty file at the end", func(x *badIndex) { x.set(iF, 32, 4, badSize); x.set(iF, 36, 4, 0) }, ""},
		{"an empty file beyond the end", func(x *badIndex) { x.set(iF, 32, 4, badSize+1); x.set(iF, 36, 4, 0) }, "entry 9: data lies outside of the archive"},
		{"very much data", func(x *badIndex) { x.set(iX, 36, 4, 1<<32-1) }, "entry 8: data lies outside of the archive"},

		{"no target", func(x *badIndex) { x.target("") }, "entry 5: impossible link target"},
		{"NUL in a target", func(x *badIndex) { x.target("a\x00b") }, "entry 5: impossible link target"},
		{"target outside", func(x *badIndex) { x.set(iL, 32, 4, uint64(len(x.strings))) }, "entry 5: impossible link target"},
		{"target far outside", func(x *badIndex) { x.set(iL, 32, 4, 1<<32-1) }, "entry 5: impossible link target"},
		{"target partly outside", func(x *badIndex) { x.set(iL, 36, 4, uint64(len(x.strings)+1)) }, "entry 5: impossible link target"},
		{"the longest target", func(x *badIndex) { x.target(strings.Repeat("t", 4095)) }, ""},
		{"a longer target", func(x *badIndex) { x.target(strings.Repeat("t", 4096)) }, "entry 5: impossible link target"},
		{"any target", func(x *badIndex) { x.target("/../\n\xff") }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := goodIndex(t)
			test.change(x)
			tree, err := table.Decode(x.bytes(), badSize)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want == "":
				tabletest.Check(t, tree.Table)
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
		if _, err := table.Decode(x.bytes(), badSize); !errors.Is(err, table.ErrVersion) || err.Error() != fmt.Sprintf("index: version is not supported: %d", v) {
			t.Errorf("version %d: %v", v, err)
		}
	}
}

// Decode accepts paths at the limits of a Builder, and refuses longer ones.
func TestDecodeLimits(t *testing.T) {
	repeat := func(name string, n int, more ...string) (all []string) {
		for range n {
			all = append(all, name)
		}
		return append(all, more...)
	}
	long := strings.Repeat("n", 255)
	for _, test := range []struct {
		name  string
		names []string
		good  bool
	}{
		{"depth", repeat("d", 128), true},
		{"depth", repeat("d", 129), false},
		{"much depth", repeat("d", 1000), false},
		{"path", repeat(long, 16), true}, // 4,095 bytes
		{"path", repeat(long, 15, long[1:], "f"), false},
		{"long paths", repeat(long, 128), false},
	} {
		x := table.Index{Table: table.Chain(t, test.names...)}
		got, err := table.Decode(x.Encode(), 0)
		if test.good && err != nil || !test.good && (err == nil || !strings.HasSuffix(err.Error(), ": too deep")) {
			t.Errorf("%s, %d entries: %v", test.name, x.Len(), err)
		}
		if err == nil {
			tabletest.Check(t, got.Table)
		}
	}
}

// Decode refuses an index with any byte changed, since the checksum covers the rest.
func TestIndexFlips(t *testing.T) {
	good := goodIndex(t).bytes()
	for i := range good {
		for _, bit := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= bit
			if _, err := table.Decode(bad, badSize); err == nil {
				t.Errorf("byte %d: no error", i)
			}
			// With a corrected checksum, Decode returns an error or a valid table.
			if tree, err := table.Decode(fixIndex(bad), badSize); err == nil {
				tabletest.Check(t, tree.Table)
			}
		}
	}
	for n := range good {
		if _, err := table.Decode(fixIndex(bytes.Clone(good[:n])), badSize); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
}

// FuzzDecodeIndex decodes any bytes as an index: an error, or a table that passes
// tabletest.Check.
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
		if len(b) >= table.HeaderSize {
			copy(b, table.Magic)
			binary.LittleEndian.PutUint32(b[8:], table.Version)
			// Correct the size of the strings, so that it does not hide what else is wrong.
			if n := uint32(len(b) - table.HeaderSize); binary.LittleEndian.Uint32(b[16:])*table.RecordSize <= n {
				binary.LittleEndian.PutUint32(b[20:], n-binary.LittleEndian.Uint32(b[16:])*table.RecordSize)
			}
		}
		if tree, err := table.Decode(fixIndex(b), int64(size)); err == nil {
			tabletest.Check(t, tree.Table)
		}
	})
}

// Files must not overlap: a small archive would have more bytes than any disk.
func TestOverlap(t *testing.T) {
	b := table.NewBuilder()
	for i := range 3 {
		must(t, b.Add(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprint(i), Size: 4000}, 512))
	}
	x := (&table.Index{Table: b.Table()}).Encode()
	if _, err := table.Decode(x, 10000); err == nil || !strings.Contains(err.Error(), "files of 12000 bytes in an archive of 10000") {
		t.Error(err)
	}
	if _, err := table.Decode(x, 12000); err != nil {
		t.Error(err)
	}
}
