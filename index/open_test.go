// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/tests/need"
)

// packedOf makes an archive that carries its index: a block for each of the
// groups, the index in front of the last one, of one member. Each block is a
// stream of its own. change, if any, is done to the index.
func packedOf(t testing.TB, change func(index []byte) []byte, groups ...[]member) []byte {
	t.Helper()
	x := NewIndexer()
	content := sha256.New()
	var b bytes.Buffer
	write := func(m member) {
		w := tar.NewWriter(&b)
		must(t, w.WriteHeader(&m.header))
		must(t, x.Add(&m.header, int64(b.Len())))
		content.Write([]byte(m.data))
		_, err := w.Write([]byte(m.data))
		must(t, err)
		must(t, w.Flush())
	}
	last := groups[len(groups)-1][0]
	var packed []byte
	start := 0
	for _, group := range groups[:len(groups)-1] {
		for _, m := range group {
			write(m)
		}
		packed = append(packed, xzOf(t, b.Bytes()[start:], 0)...)
		start = b.Len()
	}
	// Where the last member lies depends on the size of the index, which is the
	// same wherever that is.
	must(t, x.Add(&last.header, 0))
	content.Write([]byte(last.data))
	global := func() []byte {
		index, err := x.Encode([32]byte(content.Sum(nil)), 0)
		must(t, err)
		if change != nil {
			index = change(index)
		}
		return paxBlocks('g', "comment="+string(index))
	}
	x.MoveLast(int64(b.Len() + len(global()) + tarBlock))
	b.Write(global())
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&last.header))
	_, err := w.Write([]byte(last.data))
	must(t, err)
	must(t, w.Close())
	return append(packed, xzOf(t, b.Bytes()[start:], 0)...)
}

// packedGroups has blocks of some files, one file that spans three blocks
// together with others, and a last one.
func packedGroups() [][]member {
	groups := [][]member{{dir("./d/"), dir("./e/")}}
	for i := range 5 {
		var group []member
		for j := range 4 {
			group = append(group, file(fmt.Sprintf("./d/%d%d.h", i, j), text(uint64(i*10+j), 300+i*j*100)))
		}
		groups = append(groups, append(group, symlink(fmt.Sprintf("./e/%d", i), "../d")))
	}
	return append(groups, []member{file("./last.h", "last")})
}

// openCounting opens an archive, and counts how often each block is decoded.
func openCounting(t testing.TB, archive []byte) (*Tree, []int) {
	t.Helper()
	tree, err := Open(archive)
	must(t, err)
	if !tree.HasIndex() {
		t.Fatal("the archive has no index")
	}
	tree.data.Load().unread = nil // what isn't asked for isn't decoded
	counts := make([]int, len(tree.data.Load().blocks))
	decode := tree.data.Load().decode
	tree.data.Load().decode = func(i int, buf []byte) ([]byte, error) {
		counts[i]++
		return decode(i, buf)
	}
	return tree, counts
}

// blank fills all blocks but some with bytes that can't be decoded.
func blank(t testing.TB, archive []byte, keep ...int) []byte {
	t.Helper()
	f, err := xz.Parse(archive)
	must(t, err)
	bad := bytes.Clone(archive)
	for i, b := range f.Blocks {
		kept := false
		for _, k := range keep {
			kept = kept || k == i
		}
		if !kept {
			copy(bad[b.Offset:], bytes.Repeat([]byte{0xff}, int(b.Size)))
		}
	}
	return bad
}

// An archive with an index gives the tree that walking over its tar gives.
func TestOpenPacked(t *testing.T) {
	archive := packedOf(t, nil, packedGroups()...)
	must(t, Verify(archive))
	tree, _ := openCounting(t, archive)
	checkTree(t, tree)
	f, err := xz.Parse(archive)
	must(t, err)
	stock, err := load(f)
	must(t, err)
	if stock.HasIndex() {
		t.Error("what was decoded whole has an index")
	}
	if got, want := show(t, tree), show(t, stock); got != want || tree.Bytes != stock.Bytes {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for id := range ID(tree.Len()) {
		got, want := tree.Entry(id), stock.Entry(id)
		if !got.IsLink() && !got.IsDir() { // offsets in another row of bytes
			got.at, want.at = 0, 0
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", tree.Path(id), got, want)
		}
	}
}

// Opening decodes the last block and nothing else, and reading one file one
// block: nothing is left of the others here.
func TestOpenDecodesOneBlock(t *testing.T) {
	groups := packedGroups()
	archive := packedOf(t, nil, groups...)
	last := len(groups) - 1
	whole, _ := openCounting(t, archive)
	tree, counts := openCounting(t, blank(t, archive, last))
	if !bytes.Equal(tree.table, whole.table) || tree.strings != whole.strings {
		t.Error("another tree")
	}
	if n := sum(counts); n != 0 {
		t.Errorf("opening decodes %d blocks as if they were read", n)
	}
	for i, group := range groups {
		tree, counts := openCounting(t, blank(t, archive, i, last))
		for _, m := range group {
			id, ok := tree.Find(strings.TrimSuffix(strings.TrimPrefix(m.header.Name, "./"), "/"))
			if !ok {
				t.Fatalf("%s isn't there", m.header.Name)
			}
			if m.header.Typeflag == tar.TypeReg && string(read(t, tree, id)) != m.data {
				t.Errorf("%s: other bytes", m.header.Name)
			}
		}
		want := 1
		if i == 0 || i == last {
			want = 0 // directories only; decoded when it was opened
		}
		if counts[i] != want || sum(counts) != want {
			t.Errorf("reading the files of block %d decodes %v", i, counts)
		}
	}
	// Names, attributes and targets need no block at all.
	tree, counts = openCounting(t, blank(t, archive, last))
	for id := range ID(tree.Len()) {
		tree.Path(id)
		tree.Target(id)
		tree.Find(tree.Path(id))
		tree.Children(id)
	}
	if sum(counts) != 0 {
		t.Errorf("looking up decodes %v", counts)
	}
}

func sum(counts []int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// A file that spans blocks has those decoded that hold what is read.
func TestReadSpanning(t *testing.T) {
	need.Command(t, "xz")
	data := text(1, 50_000)
	archive := packedOf(t, nil, []member{file("large", data)}, []member{file("last", "x")})
	f, err := xz.Parse(archive)
	must(t, err)
	first := need.Filter(t, archive[:f.Blocks[1].Offset-12], "xz", "-dc")
	archive = append(xzOf(t, first, 10_000), archive[f.Blocks[1].Offset-12:]...)
	must(t, Verify(archive))
	tree, counts := openCounting(t, archive)
	id, _ := tree.Find("large")
	for _, test := range []struct{ off, n, blocks int }{{0, 1, 1}, {0, 9_488, 0}, {9_480, 20, 1}, {20_000, 20_000, 3}, {49_999, 1, 1}, {0, 50_000, 0}} {
		before := sum(counts)
		p := make([]byte, test.n)
		if _, err := tree.ReadAt(id, p, int64(test.off)); err != nil || string(p) != data[test.off:][:test.n] {
			t.Errorf("%d bytes at %d: other bytes (%v)", test.n, test.off, err)
		}
		if n := sum(counts) - before; n != test.blocks {
			t.Errorf("%d bytes at %d: %d blocks decoded, want %d", test.n, test.off, n, test.blocks)
		}
	}
}

// A damaged block takes its own files with it, and no others.
func TestPackedDamagedBlock(t *testing.T) {
	groups := packedGroups()
	archive := packedOf(t, nil, groups...)
	f, err := xz.Parse(archive)
	must(t, err)
	for i := range groups[:len(groups)-1] {
		for name, at := range map[string]int64{"header": 3, "data": f.Blocks[i].Size / 2, "check": f.Blocks[i].Size - 1} {
			bad := bytes.Clone(archive)
			bad[f.Blocks[i].Offset+at] ^= 0x40
			tree, _ := openCounting(t, bad)
			for g, group := range groups {
				for _, m := range group {
					if m.header.Typeflag != tar.TypeReg {
						continue
					}
					id, _ := tree.Find(strings.TrimPrefix(m.header.Name, "./"))
					for range 2 {
						p := make([]byte, len(m.data))
						_, err := tree.ReadAt(id, p, 0)
						var inner *xz.BlockError
						var block *BlockError
						if g != i && (err != nil || string(p) != m.data) {
							t.Errorf("block %d, %s: %s: %v", i, name, m.header.Name, err)
						}
						if g == i && (!errors.As(err, &block) || block.Block != i || !errors.As(err, &inner)) {
							t.Errorf("block %d, %s: %s: %v", i, name, m.header.Name, err)
						}
					}
				}
			}
			checkCache(t, tree.data.Load().store)
			var damage *DamageError
			if err := Verify(bad); !errors.As(err, &damage) || len(damage.Blocks) != 1 {
				t.Errorf("block %d, %s: verify: %v", i, name, err)
			}
		}
	}
}

// Where the last block is damaged there is no tree.
func TestPackedDamagedIndex(t *testing.T) {
	archive := packedOf(t, nil, packedGroups()...)
	f, err := xz.Parse(archive)
	must(t, err)
	b := f.Blocks[len(f.Blocks)-1]
	for at := b.Offset; at < b.Offset+b.Size; at++ {
		bad := bytes.Clone(archive)
		bad[at] ^= 0x10
		if _, err := Open(bad); err == nil {
			t.Errorf("byte %d of the last block's %d: no error", at-b.Offset, b.Size)
		}
	}
}

// Archives that have global headers, and no index of ours, are read as tars.
func TestGlobalHeaders(t *testing.T) {
	commit := raw(paxBlocks('g', "comment="+strings.Repeat("0123abcd", 5))) // as git archive makes
	x := goodIndex(t)
	binary.LittleEndian.PutUint32(x.header[8:], 2)
	version2 := string(x.bytes())
	for _, test := range []struct {
		name   string
		groups [][]member
	}{
		{"no global header", [][]member{{file("a", "1")}, {file("b", "2")}}},
		{"first", [][]member{{commit, file("a", "1")}, {file("b", "2")}}},
		{"first and last", [][]member{{commit, file("a", "1")}, {file("b", "2"), commit}}},
		{"in front of the last member", [][]member{{file("a", "1")}, {commit, file("b", "2")}}},
		{"in a block of its own", [][]member{{commit}, {file("a", "1"), file("b", "2")}, {commit}}},
		{"only one block", [][]member{{commit, file("a", "1"), file("b", "2")}}},
		{"almost our comment", [][]member{{file("a", "1")}, {raw(paxBlocks('g', "comment=khindex 1 and more")), file("b", "2")}}},
		{"another key", [][]member{{file("a", "1")}, {raw(paxBlocks('g', "KHINDEX.x="+indexMagic)), file("b", "2")}}},
		{"a second record", [][]member{{file("a", "1")}, {raw(paxBlocks('g', "a=b", "comment="+indexMagic)), file("b", "2")}}},
		{"of one file", [][]member{{file("a", "1")}, {raw(paxBlocks('x', "comment="+indexMagic), rawHeader('0', "b", 1, ustar), padded("2"))}}},
		{"not in the last block", [][]member{{raw(paxBlocks('g', "comment="+version2)), file("a", "1")}, {file("b", "2")}}},
		{"not first in the last block", [][]member{{file("a", "1")}, {file("b", "2"), raw(paxBlocks('g', "comment="+version2))}}},
		{"of another version", [][]member{{file("a", "1")}, {raw(paxBlocks('g', "comment="+version2)), file("b", "2")}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var archive []byte
			for i, group := range test.groups {
				tarBytes := tarOf(t, group...)
				if i < len(test.groups)-1 {
					tarBytes = tarBytes[:len(tarBytes)-2*tarBlock]
				}
				archive = append(archive, xzOf(t, tarBytes, 0)...)
			}
			tree, err := Open(archive)
			must(t, err)
			if got := show(t, tree); tree.HasIndex() || got != "a=1 b=2" || tree.Hash != sha256.Sum256(archive) {
				t.Errorf("%s, with an index: %v", got, tree.HasIndex())
			}
			must(t, Verify(archive))
		})
	}
}

// An index that is wrong in itself is an error, not a reason to read the tar:
// the archive is damaged.
func TestOpenWrongIndex(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(b []byte) []byte
		want   string
	}{
		{"checksum", func(b []byte) []byte { b[12] ^= 1; return b }, "index: the checksum does not match"},
		{"cut short", func(b []byte) []byte { return fixIndex(b[:len(b)-1]) }, "index: "},
		{"only a magic number", func(b []byte) []byte { return b[:8] }, "index: not one"},
		{"an entry", func(b []byte) []byte { b[indexHeaderSize+5] = 9; return fixIndex(b) }, "index: entry 0: kind 9 is not known"},
	} {
		archive := packedOf(t, test.change, packedGroups()...)
		if _, err := Open(archive); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err := Verify(archive); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: verify: %v", test.name, err)
		}
	}
}

// An index that is all right by itself, and tells something else than the tar:
// Open can't know, Verify does.
func TestVerifyFindsLies(t *testing.T) {
	// Entries: 0 the top, 1 d, 2 e, 3 last.h, then the files of d, then the links in e.
	set := func(id, off int, change func(v uint32) uint32) func(b []byte) []byte {
		return func(b []byte) []byte {
			p := b[indexHeaderSize+id*entrySize+off:]
			binary.LittleEndian.PutUint32(p, change(binary.LittleEndian.Uint32(p)))
			return fixIndex(b)
		}
	}
	const entries, other = "the index tells of other entries than the tar", "the index tells of other data than the tar holds"
	for _, test := range []struct {
		name   string
		change func(b []byte) []byte
		want   string
	}{
		{"nothing", func(b []byte) []byte { return b }, ""},
		{"size", set(5, 36, func(v uint32) uint32 { return v - 1 }), entries},
		{"offset", set(5, 32, func(v uint32) uint32 { return v - 512 }), entries},
		{"kind", set(5, 5, func(v uint32) uint32 { return v + 1 }), entries},
		{"second", set(5, 24, func(v uint32) uint32 { return v + 1 }), entries},
		{"nanosecond", set(5, 20, func(v uint32) uint32 { return v + 1 }), entries},
		{"time of a directory", set(2, 24, func(v uint32) uint32 { return v + 1 }), entries},
		{"name", func(b []byte) []byte {
			return fixIndex(bytes.Replace(b, []byte("last.h"), []byte("last.i"), 1))
		}, entries},
		{"target", func(b []byte) []byte {
			return fixIndex(bytes.Replace(b, []byte("../d"), []byte("../e"), 1))
		}, entries},
		{"strings that nobody uses", func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[20:], binary.LittleEndian.Uint32(b[20:])+1)
			return fixIndex(append(b, 'x'))
		}, entries},
		{"hash", func(b []byte) []byte { b[40] ^= 1; return fixIndex(b) }, other},
	} {
		archive := packedOf(t, test.change, packedGroups()...)
		tree, err := Open(archive)
		if err != nil || !tree.HasIndex() {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		err = Verify(archive)
		if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
		var damage *DamageError
		if err != nil && (!errors.As(err, &damage) || len(damage.Lines()) != 0) {
			t.Errorf("%s: %v tells of damage", test.name, err)
		}
	}
}

// A block too large to be decoded again and again makes an archive one that is
// read as a tar.
func TestPackedLargeBlock(t *testing.T) {
	need.Command(t, "xz")
	archive := packedOf(t, nil, packedGroups()...)
	f, err := xz.Parse(archive)
	must(t, err)
	start := f.Blocks[len(f.Blocks)-1].Offset - 12
	for _, n := range []int{maxPackedBlock, maxPackedBlock + 1} {
		zeros := need.Filter(t, nil, "sh", "-c", fmt.Sprintf("head -c %d /dev/zero | xz -1 -T1", n))
		f, err := xz.Parse(append(zeros, archive[start:]...))
		must(t, err)
		tree, err := openPacked(f)
		if err != nil || (tree != nil) != (n == maxPackedBlock) {
			t.Errorf("%d bytes: %v, %v", n, tree, err)
		}
	}
}
