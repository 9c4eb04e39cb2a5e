// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"
	"testing"
)

var sizes = []int{0, 1, 511, 512, memoryBlock - 1, memoryBlock, memoryBlock + 1, 2 * memoryBlock, 3*memoryBlock + 7, 5000, 0, 100}

// sizedTree has a file of each of the sizes, twice.
func sizedTree(t testing.TB) (tree *Tree, data map[string]string, packed [][]byte) {
	t.Helper()
	data = map[string]string{}
	var members []member
	for i, n := range append(sizes, sizes...) {
		name := fmt.Sprintf("d%d/%d", i%3, i)
		data[name] = text(uint64(i), n)
		members = append(members, file(name, data[name]))
	}
	tree, packed, err := treeAndBlocks(tarOf(t, members...))
	must(t, err)
	return tree, data, packed
}

func TestReadAt(t *testing.T) {
	tree, data, _ := sizedTree(t)
	checkTree(t, tree)
	for name, want := range data {
		id, ok := tree.Find(name)
		if !ok {
			t.Fatalf("%s isn't there", name)
		}
		if string(read(t, tree, id)) != want {
			t.Errorf("%s, %d bytes: other bytes than were packed", name, len(want))
		}
	}
}

// A file that is read through io.SectionReader, as most who know io.ReaderAt do.
func TestReadAtIsReaderAt(t *testing.T) {
	tree, data, _ := sizedTree(t)
	for name, want := range data {
		id, _ := tree.Find(name)
		got, err := io.ReadAll(io.NewSectionReader(readerAt{tree, id}, 0, 1<<40))
		if err != nil || string(got) != want {
			t.Errorf("%s: %d of %d bytes: %v", name, len(got), len(want), err)
		}
	}
}

type readerAt struct {
	tree *Tree
	id   ID
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r.tree.ReadAt(r.id, p, off) }

// Many readers at once of more blocks than are kept decoded.
func TestReadInParallel(t *testing.T) {
	var members []member
	data := map[string]string{}
	for i := range 3 * memoryCache / memoryBlock {
		name := fmt.Sprint(i)
		data[name] = text(uint64(i%5), memoryBlock-i) // a block each
		members = append(members, file(name, data[name]))
	}
	tree, err := treeOf(tarOf(t, members...))
	must(t, err)
	if n := len(tree.data.Load().blocks); n != 3*memoryCache/memoryBlock {
		t.Fatalf("%d blocks", n)
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			p := make([]byte, 10_000)
			for i := range 300 {
				name := fmt.Sprint((i*7 + g*i) % len(members))
				id, _ := tree.Find(name)
				off := (i * 997) % (len(data[name]) - len(p))
				if _, err := tree.ReadAt(id, p, int64(off)); err != nil || string(p) != data[name][off:][:len(p)] {
					t.Errorf("%s at %d: other bytes (%v)", name, off, err)
				}
			}
		})
	}
	wait.Wait()
	checkCache(t, tree.data.Load().store)
}

// checkCache: nobody uses a block any more but the cache, which holds no more
// than it may, and no buffer lies in two places.
func checkCache(t *testing.T, s *store) {
	t.Helper()
	if len(s.cached) > s.keep || len(s.spare) > s.keep {
		t.Errorf("%d blocks and %d buffers are kept", len(s.cached), len(s.spare))
	}
	seen := map[*byte]bool{}
	for _, d := range s.cached {
		if d.users != 1 || d.err != nil {
			t.Errorf("block %d has %d users (%v)", d.block, d.users, d.err)
		}
		s.spare = append(s.spare, d.data)
	}
	for _, b := range s.spare {
		if at := &b[:1][0]; seen[at] {
			t.Error("a buffer lies in two places")
		} else {
			seen[at] = true
		}
	}
}

// A block that is damaged later takes its own files with it, and no others,
// and only for as long as it is damaged.
func TestDamageLater(t *testing.T) {
	tree, data, packed := sizedTree(t)
	hit := func(e Entry, b block) bool {
		return e.Size > 0 && int64(e.at) < b.start+int64(b.size) && int64(e.at)+e.Size > b.start
	}
	for i, good := range tree.data.Load().blocks {
		whole := packed[i]
		short := whole[:len(whole)-1]
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 0x10
		next := (i + 1) % len(packed)
		for kind, bad := range map[string][]byte{"cut": short, "flipped": flipped, "nothing": whole[:crc32.Size], "another": packed[next]} {
			if kind == "another" && tree.data.Load().blocks[next].size == good.size {
				continue // a right block, if not the right one
			}
			tree.data.Load().cached = nil
			packed[i] = bad
			for name, want := range data {
				id, _ := tree.Find(name)
				p := make([]byte, len(want))
				_, err := tree.ReadAt(id, p, 0)
				var blockError *BlockError
				switch {
				case !hit(tree.Entry(id), good):
					if err != nil && err != io.EOF || string(p) != want {
						t.Errorf("block %d %s: %s can't be read: %v", i, kind, name, err)
					}
				case !errors.As(err, &blockError) || blockError.Block != i || !strings.HasPrefix(err.Error(), fmt.Sprintf("block %d: ", i)):
					t.Errorf("block %d %s: reading %s: %v", i, kind, name, err)
				}
			}
			packed[i] = whole
			for name, want := range data {
				id, _ := tree.Find(name)
				if hit(tree.Entry(id), good) && string(read(t, tree, id)) != want {
					t.Errorf("block %d is whole again, and %s is not", i, name)
				}
			}
		}
	}
	checkCache(t, tree.data.Load().store)
}

// All who wait for a damaged block are told.
func TestDamageInParallel(t *testing.T) {
	tree, _, packed := sizedTree(t)
	for i := range packed {
		packed[i] = packed[i][:crc32.Size]
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range 200 {
				id := ID(i % tree.Len())
				e := tree.Entry(id)
				if e.Size == 0 {
					continue
				}
				var blockError *BlockError
				if n, err := tree.ReadAt(id, make([]byte, 10), 0); n != 0 || !errors.As(err, &blockError) {
					t.Errorf("%s: %d, %v", tree.Path(id), n, err)
				}
			}
		})
	}
	wait.Wait()
	if len(tree.data.Load().cached) > 0 {
		t.Errorf("%d damaged blocks are kept", len(tree.data.Load().cached))
	}
}

// A kernel is not unknown because its release can't be read.
func TestReleaseDamaged(t *testing.T) {
	tree, packed, err := treeAndBlocks(tarOf(t, file("./include/generated/utsrelease.h", "#define UTS_RELEASE \"6.1\"\n")))
	must(t, err)
	packed[0] = packed[0][:crc32.Size]
	var damage *BlockError
	if got, err := tree.Release(); got != "" || !errors.As(err, &damage) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRelease(t *testing.T) {
	const name = "./include/generated/utsrelease.h"
	for _, test := range []struct{ data, want string }{
		{"#define UTS_RELEASE \"6.1.0-13-amd64\"\n", "6.1.0-13-amd64"},
		{"/* x */\n#define UTS_RELEASE \"6.12\"\n#define UTS_RELEASE \"6.13\"", "6.12"},
		{"#define UTS_RELEASE \"6.12\n", ""},
		{"#define UTS_VERSION \"6.12\"\n", ""},
		{strings.Repeat("\n", 5000) + "#define UTS_RELEASE \"6.12\"\n", ""}, // too far behind
		{"", ""},
	} {
		tree, err := treeOf(tarOf(t, file(name, test.data)))
		must(t, err)
		if got, err := tree.Release(); got != test.want || err != nil {
			t.Errorf("%.40q: %q, want %q", test.data, got, test.want)
		}
	}
	for _, members := range [][]member{nil, {dir(name)}, {symlink(name, "x")}} {
		tree, err := treeOf(tarOf(t, members...))
		must(t, err)
		if got, err := tree.Release(); got != "" || err != nil {
			t.Errorf("%q", got)
		}
	}
}
