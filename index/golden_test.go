// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/tests/need"
)

// Archives of each format, made once and kept for ever:
//
//	stock.tar.xz       by GNU tar and xz -T1, as a kernel's own build does
//	packed.tar.xz      by kheadersfs pack --block-size 65536 of it
//	cache.v1.tar.zst   the cache file of it, version 1
const (
	goldenStock  = "testdata/stock.tar.xz"
	goldenPacked = "testdata/packed.tar.xz"
	goldenCache  = "testdata/cache.v1.tar.zst"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return b
}

// All three are read for ever, and are the tree that tar makes.
func TestGoldenRead(t *testing.T) {
	need.Command(t, "tar", "xz")
	root := t.TempDir()
	need.Filter(t, golden(t, goldenStock), "tar", "-C", root, "-xJf", "-")
	for _, name := range []string{goldenStock, goldenPacked, goldenCache} {
		b := golden(t, name)
		must(t, verify(b))
		if hasIndex(t, b) == (name == goldenStock) {
			t.Errorf("%s: an index: %v", name, name == goldenStock)
		}
		tree, err := openBytes(b)
		must(t, err)
		checkTree(t, tree)
		n := 0
		must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			must(t, err)
			n++
			rel, err := filepath.Rel(root, path)
			must(t, err)
			id, ok := tree.Find(rel)
			e := tree.Entry(id)
			switch {
			case !ok || e.IsDir() != d.IsDir():
				t.Errorf("%s: %s: %+v", name, rel, e)
			case e.IsLink():
				if to, err := os.Readlink(path); err != nil || to != tree.Target(id) {
					t.Errorf("%s: %s leads to %q", name, rel, tree.Target(id))
				}
			case e.IsFile():
				if want, err := os.ReadFile(path); err != nil || !bytes.Equal(read(t, tree, id), want) {
					t.Errorf("%s: %s: other bytes", name, rel)
				}
			}
			return nil
		}))
		if n != tree.Len() {
			t.Errorf("%s: %d entries instead of %d", name, tree.Len(), n)
		}
		if release, err := tree.Release(); release != "6.1.0-golden" || err != nil {
			t.Errorf("%s: release %q, %v", name, release, err)
		}
	}
}

// A cache file is written to the same bytes for ever: of the stock archive, and of
// itself.
func TestGoldenWrite(t *testing.T) {
	want := golden(t, goldenCache)
	for _, name := range []string{goldenStock, goldenCache} {
		tree, err := openBytes(golden(t, name))
		must(t, err)
		if !bytes.Equal(written(t, tree), want) {
			t.Errorf("written from %s it has other bytes", name)
		}
	}
}

// The three are what they are meant to be: else the tests above show little.
func TestGoldenLayout(t *testing.T) {
	for name, want := range map[string]Layout{
		goldenStock:  {Streams: 1, Blocks: 1, Check: "CRC64", Unpacked: 256000},
		goldenPacked: {Streams: 1, Blocks: 6, Check: "CRC64", Unpacked: 251392, Index: true},
		goldenCache:  {Blocks: 3, Check: "XXH64", Unpacked: 249856, Index: true},
	} {
		b := golden(t, name)
		f, err := Parse(bytes.NewReader(b), int64(len(b)))
		must(t, err)
		if f.Layout() != want {
			t.Errorf("%s: %+v, want %+v", name, f.Layout(), want)
		}
		if strings.HasSuffix(name, ".xz") && string(b[:len(xz.Magic)]) != xz.Magic {
			t.Errorf("%s is no .xz", name)
		}
	}
}
