// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/source"
	"github.com/kheadersfs/kheadersfs/tests/need"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

const otherUser = 65534

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	need.That(t, os.Geteuid() == 0, "root")
}

// archives are made by the first test that wants them.
var archives [2][]byte

// archiveOf returns the path of one of two archives, and its SHA-256. Each has four
// files that can't be compressed, so that each file fills a block.
func archiveOf(t testing.TB, which int) (path string, hash [32]byte) {
	t.Helper()
	if archives[which] == nil {
		rnd := rand.NewChaCha8([32]byte{byte(which)})
		var members []tartest.Member
		for i := range 4 {
			data := make([]byte, 100_000)
			rnd.Read(data)
			members = append(members, tartest.File(fmt.Sprintf("./d/%d.h", i), string(data)))
		}
		archives[which] = tartest.XZ(t, tartest.Tar(t, members...), 0)
	}
	path = filepath.Join(t.TempDir(), "archive.tar.xz")
	must(t, os.WriteFile(path, archives[which], 0o644))
	return path, sha256.Sum256(archives[which])
}

// warnings are what a Cache has passed to warn.
type warnings struct {
	mu    sync.Mutex
	lines []string
}

func (w *warnings) add(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// check checks that there was one warning, of one line that contains want; none if
// want is empty. It forgets the warnings.
func (w *warnings) check(t testing.TB, want string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if want == "" && len(w.lines) > 0 || want != "" && (len(w.lines) != 1 || !strings.Contains(w.lines[0], want) || strings.Contains(w.lines[0], "\n")) {
		t.Errorf("warned of %q, want %q", w.lines, want)
	}
	w.lines = nil
}

// use opens an archive as a mount does: from the cache, or else by decoding. It
// returns when the cache file is written. hit reports that it came from the cache.
func use(t testing.TB, dir, archive string, w *warnings) (tree *index.Tree, hit bool, c *Cache) {
	t.Helper()
	c = New(dir, archive, w.add)
	f := parse(t, archive)
	tree, err := c.Tree(f)
	must(t, err)
	if hit = tree != nil; !hit {
		tree, err = f.Decode()
		must(t, err)
	}
	c.Keep(tree)
	c.Wait()
	return tree, hit, c
}

func parse(t testing.TB, archive string) *index.File {
	t.Helper()
	a, err := source.Open(archive)
	must(t, err)
	f, err := index.Parse(a, a.Size())
	must(t, err)
	return f
}

// readAll returns the bytes of all files.
func readAll(t testing.TB, tree *index.Tree) []byte {
	t.Helper()
	var all []byte
	for id := range index.ID(tree.Len()) {
		if e := tree.Entry(id); !e.IsDir() {
			b := make([]byte, e.Size)
			if _, err := tree.ReadAt(id, b, 0); err != nil && err != io.EOF {
				t.Errorf("%s: %v", tree.Path(id), err)
			}
			all = append(all, b...)
		}
	}
	return all
}

// checkTree compares a tree with that of the archive.
func checkTree(t testing.TB, tree *index.Tree, archive string) {
	t.Helper()
	want, err := parse(t, archive).Open()
	must(t, err)
	if tree.Hash != want.Hash || !bytes.Equal(readAll(t, tree), readAll(t, want)) {
		t.Error("other bytes than in the archive")
	}
}

// names returns the names of the files in a directory.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func checkNames(t testing.TB, dir string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
