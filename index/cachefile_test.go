// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/tests/need"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// kernelTree returns a few headers of a kernel, some of which are hot.
func kernelTree() []tartest.Member {
	return []tartest.Member{
		tartest.Dir("./"), tartest.Dir("./include/"),
		tartest.File("./include/linux/kconfig.h", "#include <generated/autoconf.h>\n"),
		tartest.File("./include/generated/autoconf.h", ""),
		tartest.File("./include/linux/types.h", "#include <asm/types.h>\n"+tartest.Text(1, 700)),
		tartest.File("./arch/x86/include/asm/types.h", tartest.Text(2, 300)),
		tartest.File("./include/linux/fs.h", tartest.Text(3, 2000)),
		tartest.File("./include/cold.h", tartest.Text(4, 900)),
		tartest.File("./include/aaa.h", tartest.Text(5, 40)),
		tartest.Symlink("./include/linux/link.h", "types.h"),
	}
}

// cacheFileTrees returns trees of all kinds.
func cacheFileTrees() map[string][]tartest.Member {
	long := strings.Repeat("long/", 60)
	var edges []tartest.Member
	for i, n := range []int{0, 1, 511, 512, 513, frameSize - 1025, frameSize - 1024, frameSize - 513, frameSize - 512, frameSize - 511,
		frameSize - 1, frameSize, frameSize + 1, 2*frameSize - 512, 2 * frameSize, 3*frameSize + 7, 0, 100} {
		edges = append(edges, tartest.File(fmt.Sprintf("d%d/%02d", i%3, i), tartest.Text(uint64(i), n)))
	}
	return map[string][]tartest.Member{
		"nothing":              nil,
		"only a top":           {tartest.Dir("./").At(9)},
		"empty files":          {tartest.File("a", ""), tartest.File("b/c", ""), tartest.Dir("d")},
		"sizes":                edges,
		"kernel":               kernelTree(),
		"nobody's directories": {tartest.File("a/b/c/d", "1").At(5), tartest.File("a/x", "2").At(-7), tartest.Dir("a/b/e")},
		"kinds":                {tartest.File("a", "1").Mode(0o755), tartest.File("b", "2").Mode(0o644), tartest.Symlink("c", "../nowhere"), tartest.Dir("d"), tartest.Symlink("e", strings.Repeat("x", 3000))},
		"names": {tartest.File(strings.Repeat("n", 255), "1"), tartest.File(long+"x", "2"), tartest.Symlink(long+"y", long), tartest.Hardlink("é", long+"x"), tartest.Dir(long + "z"),
			tartest.File("with\nnewline and = ", "3")},
		"times": {tartest.File("old", "1").At(-1_700_000_001), tartest.File("new", "2").At(3e9),
			tartest.Raw(tartest.Pax("mtime=-1.25"), tartest.Header('0', "early", 0, tartest.Ustar)),
			tartest.Raw(tartest.Pax("mtime=1700000000.123456789"), tartest.Header('5', "fine/", 0, tartest.Ustar)),
			tartest.Raw(tartest.Pax("mtime=1.5"), tartest.Header('2', "link", 0, func(b []byte) { tartest.Ustar(b); copy(b[157:], "old") }))},
		"hard links": {tartest.File("z/late", tartest.Text(1, 3000)), tartest.Hardlink("a", "z/late"), tartest.Hardlink("b/c", "a"), tartest.Symlink("l", "a"), tartest.Hardlink("k", "l"),
			tartest.File("x", "").Mode(0o700), tartest.Hardlink("y", "x")},
		// The hot name is not the first name of its file.
		"hot by another name": append(kernelTree(), tartest.Hardlink("./aaa/first.h", "./include/linux/types.h"), tartest.Hardlink("./zzz.h", "./include/cold.h"),
			tartest.Hardlink("./include/linux/sched.h", "./include/linux/fs.h"), tartest.Hardlink("./include/uapi/linux/kconfig.h", "./include/generated/autoconf.h")),
	}
}

// memoryTree returns the tree of a stock archive.
func memoryTree(t testing.TB, members ...tartest.Member) *Tree {
	t.Helper()
	tarBytes := tartest.Tar(t, members...)
	tree, err := treeOf(tarBytes)
	must(t, err)
	return tree
}

func written(t testing.TB, tree *Tree) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, tree.Write(&b))
	return b.Bytes()
}

func opened(t testing.TB, b []byte) *Tree {
	t.Helper()
	tree, err := openBytes(b)
	must(t, err)
	return tree
}

// sameTree compares two trees: names, attributes and bytes.
func sameTree(t testing.TB, got, want *Tree) {
	t.Helper()
	if got.Hash != want.Hash || got.Bytes != want.Bytes || got.Len() != want.Len() {
		t.Fatalf("%x, %d bytes, %d entries, want %x, %d, %d", got.Hash, got.Bytes, got.Len(), want.Hash, want.Bytes, want.Len())
	}
	if !got.SameFiles(want.Table) {
		t.Error("other names or attributes")
	}
	for id := range ID(want.Len()) {
		g, w := got.Entry(id), want.Entry(id)
		if got.Target(id) != want.Target(id) {
			t.Errorf("%s: %+v to %q, want %+v to %q", want.Path(id), g, got.Target(id), w, want.Target(id))
		}
		if w.Mode&syscall.S_IFMT == syscall.S_IFREG && !bytes.Equal(read(t, got, id), read(t, want, id)) {
			t.Errorf("%s: other bytes", want.Path(id))
		}
	}
}

// checkEdges reads around each offset at which a block ends inside a file.
func checkEdges(t testing.TB, tree *Tree) {
	t.Helper()
	r := tree.row.Load()
	for id := range ID(tree.Len()) {
		e := tree.Entry(id)
		if e.IsDir() || e.IsLink() {
			continue
		}
		whole := read(t, tree, id)
		for _, b := range r.Blocks() {
			for off := b.Start - r.table.Offset(id) - 2; off <= b.Start-r.table.Offset(id)+2; off++ {
				for _, n := range []int64{1, 3, 5} {
					p := make([]byte, n)
					if off < 0 || off+n > e.Size {
						continue
					}
					if _, err := tree.ReadAt(id, p, off); err != nil || !bytes.Equal(p, whole[off:][:n]) {
						t.Errorf("%s: %d bytes at %d: other bytes (%v)", tree.Path(id), n, off, err)
					}
				}
			}
		}
	}
}

// A tree that was written and opened again is the same tree, and writing it again
// gives the same bytes.
func TestWriteAndOpen(t *testing.T) {
	for name, members := range cacheFileTrees() {
		t.Run(name, func(t *testing.T) {
			tree := memoryTree(t, members...)
			b := written(t, tree)
			got := opened(t, b)
			sameTree(t, got, tree)
			checkTree(t, got)
			checkEdges(t, got)
			if !hasIndex(t, b) {
				t.Error("not recognized as a file with an index")
			}
			if err := verify(b); err != nil {
				t.Errorf("verify: %v", err)
			}
			if !bytes.Equal(b, written(t, tree)) || !bytes.Equal(b, written(t, got)) {
				t.Error("written again it has other bytes")
			}
			if viaOpen, err := openBytes(b); err != nil || viaOpen.Hash != tree.Hash {
				t.Errorf("as an archive: %v", err)
			}
		})
	}
}

// A block ends between files, and is at most as large as a block in memory.
func TestWriteBlocks(t *testing.T) {
	tree := opened(t, written(t, memoryTree(t, cacheFileTrees()["sizes"]...)))
	r := tree.row.Load()
	for id := range ID(tree.Len()) {
		e := tree.Entry(id)
		var in []int
		for i, b := range r.Blocks() {
			if b.Size > frameSize {
				t.Errorf("block %d has %d bytes", i, b.Size)
			}
			if off := r.table.Offset(id); !e.IsDir() && off < b.Start+int64(b.Size) && off+e.Size > b.Start {
				in = append(in, i)
			}
		}
		if e.Size <= frameSize-tarball.Block && len(in) > 1 {
			t.Errorf("%s, of %d bytes, lies in blocks %v", tree.Path(id), e.Size, in)
		}
	}
}

// zstd and GNU tar read the file as a .tar.zst without a warning, and extract the
// same tree.
func TestWriteIsOrdinary(t *testing.T) {
	need.Command(t, "zstd", "tar", "bash")
	for name, members := range cacheFileTrees() {
		t.Run(name, func(t *testing.T) {
			tree := memoryTree(t, members...)
			dir := t.TempDir()
			archive := filepath.Join(dir, "a.tar.zst")
			must(t, os.WriteFile(archive, written(t, tree), 0o644))
			run := func(script string) string {
				cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
				cmd.Dir = dir
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				if err := cmd.Run(); err != nil || stderr.Len() > 0 {
					t.Fatalf("%s: %v\n%s", script, err, &stderr)
				}
				return stdout.String()
			}
			run("zstd -tq a.tar.zst")
			members := run("zstd -dc a.tar.zst | tar -t --quoting-style=escape")
			if n := strings.Count(members, "\n"); n != tree.Len() || !strings.HasPrefix(members, "./\n") || strings.Contains(members, "././") {
				t.Errorf("tar lists %d members of %d:\n%s", n, tree.Len(), members)
			}
			// Directories come before all other members, and some times are odd.
			run("mkdir out; zstd -dc a.tar.zst | tar -x --delay-directory-restore --warning=no-timestamp -C out")
			checkExtracted(t, tree, filepath.Join(dir, "out"))
		})
	}
}

// checkExtracted compares what tar has extracted from a cache file with its tree.
func checkExtracted(t *testing.T, tree *Tree, root string) {
	t.Helper()
	n := 0
	must(t, filepath.WalkDir(root, func(string, os.DirEntry, error) error { n++; return nil }))
	if n != tree.Len() {
		t.Errorf("%d files were extracted of %d", n, tree.Len())
	}
	inodes := map[ID]uint64{}
	for id := range ID(tree.Len()) {
		e, path := tree.Entry(id), filepath.Join(root, tree.Path(id))
		var st syscall.Stat_t
		must(t, syscall.Lstat(path, &st))
		if st.Mode&syscall.S_IFMT != e.Mode&syscall.S_IFMT || int64(st.Mtim.Sec) != e.Sec || uint32(st.Mtim.Nsec) != e.Nsec ||
			!e.IsLink() && (st.Mode^e.Mode)&0o111 != 0 {
			t.Errorf("%s: mode %#o, time %d.%09d, want %#o, %d.%09d", path, st.Mode, int64(st.Mtim.Sec), int64(st.Mtim.Nsec), e.Mode, e.Sec, e.Nsec)
		}
		if first, ok := inodes[e.Ino]; ok && first != st.Ino {
			t.Errorf("%s: not the same file as %s", path, tree.Path(e.Ino))
		}
		inodes[e.Ino] = st.Ino
		switch {
		case e.IsLink():
			if to, err := os.Readlink(path); err != nil || to != tree.Target(id) {
				t.Errorf("%s: links to %q (%v)", path, to, err)
			}
		case !e.IsDir():
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, read(t, tree, id)) {
				t.Errorf("%s: other bytes (%v)", path, err)
			}
		}
	}
}

// Write returns the error of its writer, wherever that occurs.
func TestWriteFails(t *testing.T) {
	tree := memoryTree(t, cacheFileTrees()["sizes"]...)
	full := errors.New("no space")
	size := len(written(t, tree))
	for n := 0; n < size; n += size/40 + 1 {
		if err := tree.Write(&limited{n, full}); !errors.Is(err, full) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	// It also returns the error of a tree that can't be read.
	b := written(t, memoryTree(t, tartest.File("a", tartest.Text(1, 10_000))))
	b[1000] ^= 1
	tree, err := openBytes(b)
	must(t, err)
	var damage *BlockError
	if err := tree.Write(io.Discard); !errors.As(err, &damage) {
		t.Errorf("a damaged tree: %v", err)
	}
}

type limited struct {
	n   int
	err error
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.n {
		return 0, l.err
	}
	l.n -= len(p)
	return len(p), nil
}
