// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/blocks"
	"github.com/kheadersfs/kheadersfs/index/table"
	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/tests/need"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// fixIndex makes the checksum of an index right.
func fixIndex(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[16:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// packedOf returns an archive that carries its index. Each group is a block, and each
// block a stream. The last group has one member, with the index in front of it.
// change, unless it is nil, changes the index.
func packedOf(t testing.TB, change func(index []byte) []byte, groups ...[]tartest.Member) []byte {
	t.Helper()
	names := table.NewBuilder()
	content := sha256.New()
	var b bytes.Buffer
	last := groups[len(groups)-1][0]
	var packed []byte
	start := 0
	for _, group := range groups[:len(groups)-1] {
		for _, m := range group {
			off := m.Write(t, &b)
			must(t, names.Add(&m.Header, off))
			content.Write([]byte(m.Data))
		}
		packed = append(packed, tartest.XZ(t, b.Bytes()[start:], 0)...)
		start = b.Len()
	}
	content.Write([]byte(last.Data))
	global := func(off int64) []byte {
		must(t, names.Add(&last.Header, off))
		x := table.Index{Table: names.Table(), Hash: [32]byte(content.Sum(nil))}
		index := x.Encode()
		if change != nil {
			index = change(index)
		}
		return tartest.PaxGlobal("comment=" + string(index))
	}
	// The offset of the last member depends on the size of the index, but not the
	// other way around.
	b.Write(global(int64(b.Len() + len(global(0)) + tarball.Block)))
	last.Write(t, &b)
	b.Write(make([]byte, 2*tarball.Block))
	return append(packed, tartest.XZ(t, b.Bytes()[start:], 0)...)
}

// packedGroups returns groups for packedOf: directories, five groups of files and
// links, and a last file.
func packedGroups() [][]tartest.Member {
	groups := [][]tartest.Member{{tartest.Dir("./d/"), tartest.Dir("./e/")}}
	for i := range 5 {
		var group []tartest.Member
		for j := range 4 {
			group = append(group, tartest.File(fmt.Sprintf("./d/%d%d.h", i, j), tartest.Text(uint64(i*10+j), 300+i*j*100)))
		}
		groups = append(groups, append(group, tartest.Symlink(fmt.Sprintf("./e/%d", i), "../d")))
	}
	return append(groups, []tartest.Member{tartest.File("./last.h", "last")})
}

// openCounting opens an archive. It also returns how often each block was decoded.
func openCounting(t testing.TB, archive []byte) (*Tree, []int) {
	t.Helper()
	f, err := Parse(bytes.NewReader(archive), int64(len(archive)))
	must(t, err)
	if f.Tree() == nil {
		t.Fatal("the archive has no index")
	}
	tree := f.Tree()
	// The same row, but without decoding ahead.
	old := tree.row.Load()
	counts := make([]int, len(old.Blocks()))
	counting := blocks.NewReader("xz block", old.Blocks(), packedKeep, func(i int, buf []byte) ([]byte, error) {
		counts[i]++
		return decodeBlock(f.xz, i, buf)
	})
	last := len(counts) - 1
	end, err := decodeBlock(f.xz, last, nil)
	must(t, err)
	counting.Add(last, end)
	tree.row.Store(&row{counting, old.table, old.hot})
	return tree, counts
}

// blank overwrites all blocks but those to keep with bytes that can't be decoded.
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

// The index of an archive gives the same tree as its tar.
func TestOpenPacked(t *testing.T) {
	archive := packedOf(t, nil, packedGroups()...)
	must(t, verify(archive))
	tree, _ := openCounting(t, archive)
	checkTree(t, tree)
	f, err := Parse(bytes.NewReader(archive), int64(len(archive)))
	must(t, err)
	stock, err := f.Decode()
	must(t, err)
	if got, want := show(t, tree), show(t, stock); got != want || tree.Bytes != stock.Bytes || !tree.SameFiles(stock.Table) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Opening decodes only the last block, and reading a file only the block of that
// file: the test overwrites all others.
func TestOpenDecodesOneBlock(t *testing.T) {
	groups := packedGroups()
	archive := packedOf(t, nil, groups...)
	last := len(groups) - 1
	whole, _ := openCounting(t, archive)
	tree, counts := openCounting(t, blank(t, archive, last))
	if !tree.Equal(whole.Table) {
		t.Error("another tree")
	}
	if n := sum(counts); n != 0 {
		t.Errorf("opening decodes %d blocks as if they were read", n)
	}
	for i, group := range groups {
		tree, counts := openCounting(t, blank(t, archive, i, last))
		for _, m := range group {
			id, ok := tree.Find(strings.TrimSuffix(strings.TrimPrefix(m.Header.Name, "./"), "/"))
			if !ok {
				t.Fatalf("%s does not exist", m.Header.Name)
			}
			if m.Header.Typeflag == tar.TypeReg && string(read(t, tree, id)) != m.Data {
				t.Errorf("%s: other bytes", m.Header.Name)
			}
		}
		want := 1
		if i == 0 || i == last {
			want = 0 // it has only directories, or was decoded by opening
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

// Reading from a file that spans blocks decodes only the blocks that are read.
func TestReadSpanning(t *testing.T) {
	need.Command(t, "xz")
	data := tartest.Text(1, 50_000)
	archive := packedOf(t, nil, []tartest.Member{tartest.File("large", data)}, []tartest.Member{tartest.File("last", "x")})
	f, err := xz.Parse(archive)
	must(t, err)
	first := need.Filter(t, archive[:f.Blocks[1].Offset-12], "xz", "-dc")
	archive = append(tartest.XZ(t, first, 10_000), archive[f.Blocks[1].Offset-12:]...)
	must(t, verify(archive))
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

// A damaged block makes its own files unreadable, and no others.
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
					if m.Header.Typeflag != tar.TypeReg {
						continue
					}
					id, _ := tree.Find(strings.TrimPrefix(m.Header.Name, "./"))
					for range 2 {
						p := make([]byte, len(m.Data))
						_, err := tree.ReadAt(id, p, 0)
						var block *BlockError
						if g != i && (err != nil || string(p) != m.Data) {
							t.Errorf("block %d, %s: %s: %v", i, name, m.Header.Name, err)
						}
						if g == i && (!errors.As(err, &block) || block.Block != i) {
							t.Errorf("block %d, %s: %s: %v", i, name, m.Header.Name, err)
						}
					}
				}
			}
			var damage *DamageError
			if err := verify(bad); !errors.As(err, &damage) || len(damage.Blocks) != 1 {
				t.Errorf("block %d, %s: verify: %v", i, name, err)
			}
		}
	}
}

// An archive whose last block is damaged can't be opened.
func TestPackedDamagedIndex(t *testing.T) {
	archive := packedOf(t, nil, packedGroups()...)
	f, err := xz.Parse(archive)
	must(t, err)
	b := f.Blocks[len(f.Blocks)-1]
	for at := b.Offset; at < b.Offset+b.Size; at += int64(stride()) {
		bad := bytes.Clone(archive)
		bad[at] ^= 0x10
		if _, err := openBytes(bad); err == nil {
			t.Errorf("byte %d of the last block's %d: no error", at-b.Offset, b.Size)
		}
	}
}

// An archive with global headers, but without an index of our format, is read as a
// tar.
func TestGlobalHeaders(t *testing.T) {
	commit := tartest.Raw(tartest.PaxGlobal("comment=" + strings.Repeat("0123abcd", 5))) // as git archive makes
	index := (&table.Index{Table: table.NewBuilder().Table()}).Encode()
	index[8] = 2
	version2 := string(fixIndex(index))
	for _, test := range []struct {
		name   string
		groups [][]tartest.Member
	}{
		{"no global header", [][]tartest.Member{{tartest.File("a", "1")}, {tartest.File("b", "2")}}},
		{"first", [][]tartest.Member{{commit, tartest.File("a", "1")}, {tartest.File("b", "2")}}},
		{"first and last", [][]tartest.Member{{commit, tartest.File("a", "1")}, {tartest.File("b", "2"), commit}}},
		{"in front of the last member", [][]tartest.Member{{tartest.File("a", "1")}, {commit, tartest.File("b", "2")}}},
		{"in a block of its own", [][]tartest.Member{{commit}, {tartest.File("a", "1"), tartest.File("b", "2")}, {commit}}},
		{"only one block", [][]tartest.Member{{commit, tartest.File("a", "1"), tartest.File("b", "2")}}},
		{"almost our comment", [][]tartest.Member{{tartest.File("a", "1")}, {tartest.Raw(tartest.PaxGlobal("comment=khindex 1 and more")), tartest.File("b", "2")}}},
		{"another key", [][]tartest.Member{{tartest.File("a", "1")}, {tartest.Raw(tartest.PaxGlobal("KHINDEX.x=" + table.Magic)), tartest.File("b", "2")}}},
		{"a second record", [][]tartest.Member{{tartest.File("a", "1")}, {tartest.Raw(tartest.PaxGlobal("a=b", "comment="+table.Magic)), tartest.File("b", "2")}}},
		{"of one file", [][]tartest.Member{{tartest.File("a", "1")}, {tartest.Raw(tartest.Pax("comment="+table.Magic), tartest.Header('0', "b", 1, tartest.Ustar), tartest.Padded("2"))}}},
		{"not in the last block", [][]tartest.Member{{tartest.Raw(tartest.PaxGlobal("comment=" + version2)), tartest.File("a", "1")}, {tartest.File("b", "2")}}},
		{"not first in the last block", [][]tartest.Member{{tartest.File("a", "1")}, {tartest.File("b", "2"), tartest.Raw(tartest.PaxGlobal("comment=" + version2))}}},
		{"of another version", [][]tartest.Member{{tartest.File("a", "1")}, {tartest.Raw(tartest.PaxGlobal("comment=" + version2)), tartest.File("b", "2")}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var archive []byte
			for i, group := range test.groups {
				tarBytes := tartest.Tar(t, group...)
				if i < len(test.groups)-1 {
					tarBytes = tarBytes[:len(tarBytes)-2*tarball.Block]
				}
				archive = append(archive, tartest.XZ(t, tarBytes, 0)...)
			}
			tree, err := openBytes(archive)
			must(t, err)
			if got := show(t, tree); hasIndex(t, archive) || got != "a=1 b=2" || tree.Hash != sha256.Sum256(archive) {
				t.Errorf("%s, with an index: %v", got, hasIndex(t, archive))
			}
			must(t, verify(archive))
		})
	}
}

// A malformed index means that the archive is damaged. It is an error, and the tar
// is not read instead.
func TestOpenWrongIndex(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(b []byte) []byte
		want   string
	}{
		{"checksum", func(b []byte) []byte { b[12] ^= 1; return b }, "index: checksum does not match"},
		{"cut short", func(b []byte) []byte { return fixIndex(b[:len(b)-1]) }, "index: "},
		{"only a magic number", func(b []byte) []byte { return b[:8] }, "index: magic number is missing"},
		{"an entry", func(b []byte) []byte { b[64+5] = 9; return fixIndex(b) }, "index: entry 0: unknown kind 9"},
	} {
		archive := packedOf(t, test.change, packedGroups()...)
		if _, err := openBytes(archive); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err := verify(archive); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: verify: %v", test.name, err)
		}
	}
}

// An index may be well formed and disagree with the tar. Only Verify finds that.
func TestVerifyComparesIndex(t *testing.T) {
	// Entries: 0 the top, 1 d, 2 e, 3 last.h, then the files of d, then the links in e.
	set := func(id, off int, change func(v uint32) uint32) func(b []byte) []byte {
		return func(b []byte) []byte {
			p := b[64+id*40+off:]
			binary.LittleEndian.PutUint32(p, change(binary.LittleEndian.Uint32(p)))
			return fixIndex(b)
		}
	}
	const entries, other = "index and tar disagree about the entries", "index and tar disagree about the data of files"
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
		_, err := openBytes(archive)
		if err != nil || !hasIndex(t, archive) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		err = verify(archive)
		if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
		var damage *DamageError
		if err != nil && (!errors.As(err, &damage) || len(damage.Lines()) != 0) {
			t.Errorf("%s: %v reports damage", test.name, err)
		}
	}
}

// An archive with a block that is too large to decode on each read is read as a tar.
func TestPackedLargeBlock(t *testing.T) {
	need.Command(t, "xz")
	archive := packedOf(t, nil, packedGroups()...)
	f, err := xz.Parse(archive)
	must(t, err)
	start := f.Blocks[len(f.Blocks)-1].Offset - 12
	for _, n := range []int{MaxBlock, MaxBlock + 1} {
		zeros := need.Filter(t, nil, "sh", "-c", fmt.Sprintf("head -c %d /dev/zero | xz -1 -T1", n))
		f, err := xz.Parse(append(zeros, archive[start:]...))
		must(t, err)
		tree, err := openPacked(f)
		if err != nil || (tree != nil) != (n == MaxBlock) {
			t.Errorf("%d bytes: %v, %v", n, tree, err)
		}
	}
}

// What the record of the index says of its own length is not trusted.
func TestComment(t *testing.T) {
	for record, want := range map[string]string{
		"23 comment=khindex\x001\n":    "", // as long as this, but without its end
		"21 comment=khindex\x001\n":    "khindex\x001",
		"12 comment=khindex\x001\n":    "",
		"11 comment=khindex\x001\n":    "",
		"-9 comment=khindex\x001\n":    "",
		"99 comment=khindex\x001\n":    "",
		"a1 comment=khindex\x001\n":    "",
		"   comment=khindex\x001\n":    "",
		"99999999 comment=khindex\x00": "",
	} {
		block := append(make([]byte, tarball.Block), record...)
		if got, err := comment(block); string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", record, got, err)
		}
	}
}
