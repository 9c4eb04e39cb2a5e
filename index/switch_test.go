// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/kernel"
	"github.com/kheadersfs/kheadersfs/index/zst"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// Hot files lie in front of all others, in the order in which programs read them.
// They are the same in memory and in a cache file, whichever name of a file is hot.
func TestHot(t *testing.T) {
	base := append(kernelTree(), tartest.File("./include/linux/sched.h", "#include <linux/empty.h>\n"), tartest.File("./include/linux/empty.h", ""))
	for name, test := range map[string]struct {
		more []tartest.Member
		want []string
	}{
		"one name each": {nil, []string{"include/generated/autoconf.h", "include/linux/kconfig.h", "arch/x86/include/asm/types.h",
			"include/linux/types.h", "include/linux/empty.h", "include/linux/sched.h", "include/linux/fs.h"}},
		"an empty one last": {[]tartest.Member{tartest.File("./include/linux/fs.h", ""), tartest.File("./include/linux/sched.h", "")}, []string{
			"include/generated/autoconf.h", "include/linux/kconfig.h", "arch/x86/include/asm/types.h", "include/linux/types.h",
			"include/linux/sched.h", "include/linux/fs.h"}},
		"other first names, and two hot ones": {[]tartest.Member{tartest.Hardlink("./aaa/first.h", "./include/linux/types.h"), tartest.Hardlink("./include/net/sock.h", "./include/linux/fs.h")},
			[]string{"include/generated/autoconf.h", "include/linux/kconfig.h", "arch/x86/include/asm/types.h", "aaa/first.h",
				"include/linux/empty.h", "include/linux/sched.h", "include/linux/fs.h"}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := memoryTree(t, append(slices.Clone(base), test.more...)...)
			inFile := opened(t, written(t, tree))
			paths := func(tree *Tree) (all []string) {
				for _, id := range hotFiles(tree) {
					all = append(all, tree.Path(id))
				}
				return all
			}
			slices.Sort(test.want)
			sorted := slices.Sorted(slices.Values(paths(tree)))
			if !slices.Equal(sorted, test.want) {
				t.Errorf("hot are %q, want %q", sorted, test.want)
			}
			if got, want := paths(inFile), paths(tree); !slices.Equal(got, want) {
				t.Errorf("in a file  %q\nin memory %q", got, want)
			}
			r := inFile.row.Load()
			var end int64
			for _, id := range hotFiles(inFile) {
				if r.table.Offset(id) < end {
					t.Errorf("%s lies in front of the one before", inFile.Path(id))
				}
				end = r.table.Offset(id) + inFile.Entry(id).Size
			}
			for id := range ID(inFile.Len()) {
				e := inFile.Entry(id)
				if e.Mode&syscall.S_IFMT == syscall.S_IFREG && !slices.Contains(hotFiles(inFile), e.Ino) && r.table.Offset(id) < end {
					t.Errorf("%s lies in front of hot files", inFile.Path(id))
				}
			}
		})
	}
}

func hotFiles(t *Tree) []ID {
	files, hot := t.Files()
	return files[:hot]
}

// Readers get the same bytes while the tree is switched between sources.
func TestSwitch(t *testing.T) {
	members := append(cacheFileTrees()["sizes"], kernelTree()...)
	tree := memoryTree(t, members...)
	want := opened(t, written(t, tree))
	stores := []*Tree{memoryTree(t, members...), want, opened(t, written(t, tree))}
	var wait sync.WaitGroup
	stop := make(chan struct{})
	for g := range 4 {
		wait.Go(func() {
			for id := ID(g); ; id = (id + 7) % ID(tree.Len()) {
				select {
				case <-stop:
					return
				default:
				}
				if e := tree.Entry(id); e.Size > 0 && !e.IsLink() {
					off := int64(id) * 997 % e.Size
					p, q := make([]byte, min(e.Size-off, 5000)), make([]byte, min(e.Size-off, 5000))
					_, err := tree.ReadAt(id, p, off)
					if want.ReadAt(id, q, off); err != nil || !bytes.Equal(p, q) {
						t.Errorf("%s at %d: other bytes (%v)", tree.Path(id), off, err)
						return
					}
				}
			}
		})
	}
	for i := range 300 {
		if err := tree.Switch(stores[i%len(stores)]); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wait.Wait()
	sameTree(t, tree, want)
}

// Switch refuses a tree of another archive.
func TestSwitchRefused(t *testing.T) {
	members := func(more ...tartest.Member) []tartest.Member {
		return append([]tartest.Member{tartest.File("a", "1"), tartest.Symlink("l", "a")}, more...)
	}
	tree := memoryTree(t, members(tartest.File("b", "2"))...)
	same := memoryTree(t, members(tartest.File("b", "2"))...)
	otherHash := memoryTree(t, members(tartest.File("b", "2"))...)
	otherHash.Hash[31] ^= 1
	for name, other := range map[string]*Tree{
		"of another archive": otherHash,
		"of other names":     memoryTree(t, members(tartest.File("c", "2"))...),
		"of other sizes":     memoryTree(t, members(tartest.File("b", "22"))...),
		"of other times":     memoryTree(t, members(tartest.File("b", "2").At(1))...),
		"of other targets":   memoryTree(t, tartest.File("a", "1"), tartest.Symlink("l", "b"), tartest.File("b", "2")),
		"with more entries":  memoryTree(t, members(tartest.File("b", "2"), tartest.File("c", ""))...),
		"of nothing":         memoryTree(t),
	} {
		if other != otherHash {
			other.Hash = tree.Hash
		}
		before := tree.row.Load()
		if err := tree.Switch(other); err == nil || err.Error() != "not a tree of the same archive" || tree.row.Load() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, tree.Switch(same))
}

// All readers that meet damage at the same time get the bytes of the tree that the
// callback switches to. The callback is called once.
func TestOnDamage(t *testing.T) {
	members := append(cacheFileTrees()["sizes"], kernelTree()...)
	good := written(t, memoryTree(t, members...))
	want := opened(t, good)
	bad := bytes.Clone(good)
	tree := opened(t, bad)
	for i, f := range framesOf(t, bad) {
		if i%2 == 1 {
			f[len(f)-1] ^= 1 // of bad too
		}
	}
	var calls, running atomic.Int32
	tree.OnDamage(func(cause error) error {
		var damage *BlockError
		if !errors.As(cause, &damage) || damage.Block%2 != 1 {
			t.Errorf("called with %v", cause)
		}
		if running.Add(1) != 1 {
			t.Error("two calls at once")
		}
		defer running.Add(-1)
		calls.Add(1)
		return tree.Switch(opened(t, good))
	})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() { sameTree(t, tree, want) })
	}
	wait.Wait()
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

// If the callback has no other tree, each read of damaged bytes returns an error, and
// other bytes can still be read.
func TestOnDamageFails(t *testing.T) {
	b := cacheFileExample(t)
	tree := opened(t, b)
	frames := framesOf(t, b)
	frames[1][10] ^= 1 // of b too
	large, _ := tree.Find("large")
	other, _ := tree.Find("include/cold.h")
	gone := errors.New("the archive is gone")
	calls := 0
	for i, mend := range []func(error) error{
		nil,
		func(cause error) error { calls++; return fmt.Errorf("%w: %w", cause, gone) },
		func(error) error { calls++; return nil }, // and nothing has changed
	} {
		tree.OnDamage(mend)
		for range 2 {
			n, err := tree.ReadAt(large, make([]byte, 100), frameSize/2)
			var damage *BlockError
			switch {
			case n != 0 || err == nil:
				t.Errorf("callback %d: reads %d bytes (%v)", i, n, err)
			case !errors.As(err, &damage) || damage.Block != 1, i == 1 && !errors.Is(err, gone):
				t.Errorf("callback %d: %v", i, err)
			}
			if string(read(t, tree, other)) != tartest.Text(4, 900) {
				t.Errorf("callback %d: another file has other bytes", i)
			}
		}
	}
	if calls != 4 {
		t.Errorf("%d calls", calls)
	}
	frames[1][10] ^= 1
	read(t, tree, large) // no error stays
}

// A read beyond the end of a file that was cut short while open is damage, not
// io.EOF.
func TestCacheFileCutLater(t *testing.T) {
	b := cacheFileExample(t)
	r := &shrinking{b: b}
	tree, err := Open(r, int64(len(b)))
	must(t, err)
	r.b = b[:len(framesOf(t, b)[0])+100]
	id, _ := tree.Find("large")
	var damage *BlockError
	if n, err := tree.ReadAt(id, make([]byte, 1000), 0); n != 0 || !errors.As(err, &damage) {
		t.Errorf("%d, %v", n, err)
	}
}

type shrinking struct{ b []byte }

func (s *shrinking) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.b).ReadAt(p, off)
}

// framesOf returns the frames of a cache file, as they lie in it.
func framesOf(t testing.TB, b []byte) (frames [][]byte) {
	t.Helper()
	f, err := zst.Open(bytes.NewReader(b), int64(len(b)))
	must(t, err)
	for _, frame := range f.Frames {
		frames = append(frames, b[frame.At:][:frame.Packed])
	}
	return frames
}

// cacheFileExample returns a cache file with a large file.
func cacheFileExample(t testing.TB) []byte {
	return written(t, memoryTree(t, append(kernelTree(), tartest.File("./large", tartest.Text(9, 2*frameSize)))...))
}

// TestIncludes finds the same hot files by what decoding has noted as by reading the files.
func TestIncludes(t *testing.T) {
	trees := cacheFileTrees()
	trees["a name twice"] = append(kernelTree(), tartest.File("./include/linux/fs.h", "#include <cold.h>\n"))
	many := strings.Repeat("#include <linux/fs.h>\n", kernel.MaxDirectives/2+1)
	trees["too many lines"] = append(kernelTree(), tartest.File("./include/a.h", many), tartest.File("./include/b.h", many))
	long := strings.Repeat("#include <"+strings.Repeat("x", 4000)+">\n", 2500)
	trees["too long names"] = append(kernelTree(), tartest.File("./include/a.h", long), tartest.File("./include/b.h", long))
	trees["too large"] = append(kernelTree(), tartest.File("./include/linux/sched.h", strings.Repeat("#include <cold.h>\n", kernel.MaxHotBytes/18+1)))
	for name, members := range trees {
		noted, read := memoryTree(t, members...), memoryTree(t, members...)
		if unknown := name == "too many lines" || name == "too long names"; (noted.includes == nil) != unknown {
			t.Errorf("%s: noted: %v", name, noted.includes != nil)
		}
		if id, ok := noted.Find("include/linux/sched.h"); ok && name == "too large" && noted.includes[noted.Offset(id)] != nil {
			t.Errorf("%s: noted", name)
		}
		read.includes = nil
		got, hot := noted.Files()
		want, wantHot := read.Files()
		if hot != wantHot || !slices.Equal(got, want) {
			t.Errorf("%s: %d %v, not %d %v", name, hot, got, wantHot, want)
		}
		if noted.includes != nil {
			t.Errorf("%s: still kept", name)
		}
	}
}
