// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	ulikunitz "github.com/ulikunitz/xz"

	"github.com/kheadersfs/kheadersfs/index/blocks"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/tests/need"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// headers fills a directory with files as in an archive of headers, and with special
// cases: links of both kinds, empty files, long names, old and new times.
func headers(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	put := func(name string, size int, mode os.FileMode) {
		name = filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, []byte(tartest.Text(uint64(size), size)), mode))
		when := tartest.Time.Add(time.Duration(size) * 1_000_001_001)
		must(t, os.Chtimes(name, when, when))
	}
	for i := range 60 {
		put(fmt.Sprintf("include/linux/%d.h", i), i*i*2, 0o644)
		put(fmt.Sprintf("arch/x86/include/asm/%d.h", i), i, 0o600)
		put(fmt.Sprintf("include/config/%d/x.h", i), 0, 0o644)
	}
	put("include/generated/utsrelease.h", 100, 0o444)
	put("include/large.h", blocks.MemoryBlock+100, 0o644)
	put("scripts/run.sh", 10, 0o755)
	put(strings.Repeat("long/", 30)+strings.Repeat("n", 200), 30, 0o644)
	put("Ünï-cödé.h", 40, 0o644)
	must(t, os.Mkdir(filepath.Join(root, "empty"), 0o700))
	must(t, os.Symlink("../linux/1.h", filepath.Join(root, "include/generated/1.h")))
	must(t, os.Symlink("/nowhere/"+strings.Repeat("x", 150), filepath.Join(root, "dangling")))
	must(t, os.Link(filepath.Join(root, "include/linux/5.h"), filepath.Join(root, "arch/5.h")))
	must(t, os.Link(filepath.Join(root, "include/linux/5.h"), filepath.Join(root, "zz.h")))
	return root
}

// A Tree holds what tar extracts from the same archive.
func TestDecodeIsExtracting(t *testing.T) {
	need.Command(t, "tar")
	need.Command(t, "xz")
	root := headers(t)
	for _, format := range []string{"gnu", "oldgnu", "pax", "posix"} {
		tarBytes := need.Filter(t, nil, "tar", "-C", root, "--format="+format, "-cf", "-", ".")
		sameAsExtracted(t, format, tarBytes, []string{"-T1"})
		if testing.Short() {
			return
		}
	}
	// These formats have no room for such long names.
	must(t, os.RemoveAll(filepath.Join(root, "long")))
	must(t, os.Remove(filepath.Join(root, "dangling")))
	for _, format := range []string{"ustar", "v7"} {
		tarBytes := need.Filter(t, nil, "tar", "-C", root, "--format="+format, "-cf", "-", ".")
		sameAsExtracted(t, format, tarBytes, []string{"-T1"})
	}
	tarBytes := need.Filter(t, nil, "tar", "-C", root, "-cf", "-", ".")
	for _, args := range [][]string{
		{"--check=none"}, {"--check=crc32"}, {"--check=crc64"}, {"--check=sha256"},
		{"-T1", "--block-size=100000"}, {"-T2", "--block-size=70000"}, {"-9"}, {"--lzma2=dict=4KiB,lc=0,lp=3"},
	} {
		sameAsExtracted(t, fmt.Sprint(args), tarBytes, args)
	}
}

// sameAsExtracted compares a Tree with what tar -x extracts. Each half of the tar is
// an .xz stream.
func sameAsExtracted(t *testing.T, name string, tarBytes []byte, args []string) {
	t.Helper()
	args = append([]string{"-c"}, args...)
	half := len(tarBytes) / 2
	archive := append(need.Filter(t, tarBytes[:half], "xz", args...), need.Filter(t, tarBytes[half:], "xz", args...)...)
	tree, err := openBytes(archive)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := verify(archive); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if tree.Hash != sha256.Sum256(archive) {
		t.Errorf("%s: another hash", name)
	}
	checkTree(t, tree)
	root := t.TempDir()
	need.Filter(t, archive, "tar", "-C", root, "-xJf", "-")
	entries := 0
	inodes := map[uint64]ID{}
	must(t, filepath.WalkDir(root, func(path string, d iofs.DirEntry, err error) error {
		must(t, err)
		entries++
		rel, err := filepath.Rel(root, path)
		must(t, err)
		id, ok := tree.Find(rel)
		if !ok {
			t.Errorf("%s: %s does not exist", name, rel)
			return nil
		}
		e := tree.Entry(id)
		var st syscall.Stat_t
		must(t, syscall.Lstat(path, &st))
		if e.Mode&syscall.S_IFMT != st.Mode&syscall.S_IFMT || !e.IsLink() && e.Mode&0o100 != st.Mode&0o100 {
			t.Errorf("%s: %s: mode %#o, want %#o", name, rel, e.Mode, st.Mode)
		}
		if rel != "." && e.Sec != int64(st.Mtim.Sec) {
			t.Errorf("%s: %s: time %d, want %d", name, rel, e.Sec, int64(st.Mtim.Sec))
		}
		if e.IsDir() {
			return nil
		}
		if first, ok := inodes[st.Ino]; ok && e.Ino != first {
			t.Errorf("%s: %s: inode %d, want %d", name, rel, e.Ino, first)
		}
		inodes[st.Ino] = e.Ino
		if uint64(e.Nlink) != uint64(st.Nlink) || e.Size != st.Size || int64(e.Nsec) != int64(st.Mtim.Nsec) {
			t.Errorf("%s: %s: %d links, %d bytes, %d ns; want %d, %d, %d", name, rel, e.Nlink, e.Size, e.Nsec, st.Nlink, st.Size, int64(st.Mtim.Nsec))
		}
		if e.IsLink() {
			if want, _ := os.Readlink(path); tree.Target(id) != want {
				t.Errorf("%s: %s: leads to %q, want %q", name, rel, tree.Target(id), want)
			}
		} else if want, _ := os.ReadFile(path); !bytes.Equal(read(t, tree, id), want) {
			t.Errorf("%s: %s: other bytes", name, rel)
		}
		return nil
	}))
	if entries != tree.Len() {
		t.Errorf("%s: %d entries, want %d", name, tree.Len(), entries)
	}
}

// smallArchive returns an archive of three blocks and some hundred bytes.
func smallArchive(t testing.TB, check byte) (packed []byte, want string) {
	t.Helper()
	tarBytes := tartest.Tar(t, tartest.Dir("./"), tartest.File("./a.h", tartest.Text(1, 50)), tartest.File("./d/b.h", tartest.Text(2, 200)), tartest.Hardlink("./c.h", "./a.h"), tartest.Symlink("./l", "a.h"))
	packed = tartest.XZWith(t, tarBytes, ulikunitz.WriterConfig{BlockSize: int64(len(tarBytes)/3 + 10), CheckSum: check, DictCap: 1 << 16})
	tree, err := openBytes(packed)
	must(t, err)
	return packed, show(t, tree)
}

var checks = []byte{ulikunitz.CRC32, ulikunitz.CRC64, ulikunitz.SHA256}

// A damaged archive is an error, or the whole tree if the damage does not matter.
func TestDecodeDamaged(t *testing.T) {
	for _, check := range checks {
		t.Run(fmt.Sprint(check), func(t *testing.T) {
			t.Parallel()
			packed, want := smallArchive(t, check)
			try := func(what string, bad []byte) error {
				tree, err := openBytes(bad)
				if err == nil && show(t, tree) != want {
					t.Errorf("%s: another tree, no error", what)
				}
				if err2 := verify(bad); (err2 == nil) != (err == nil) {
					t.Errorf("%s: Open: %v; Verify: %v", what, err, err2)
				}
				return err
			}
			for n := 0; n < len(packed); n += stride() {
				if try(fmt.Sprintf("cut to %d bytes", n), packed[:n]) == nil {
					t.Errorf("cut to %d of %d bytes: no error", n, len(packed))
				}
				bad := bytes.Clone(packed)
				bad[n] ^= 0xff
				try(fmt.Sprintf("byte %d", n), bad)
			}
		})
	}
}

// Every error names its origin, and that of a damaged block the block.
func TestDecodeErrors(t *testing.T) {
	packed, _ := smallArchive(t, ulikunitz.CRC64)
	f, err := xz.Parse(packed)
	must(t, err)
	for i, b := range f.Blocks {
		bad := bytes.Clone(packed)
		bad[b.Offset+b.Size-1] ^= 1
		_, err := openBytes(bad)
		var blockError *xz.BlockError
		want := fmt.Sprintf("xz block %d of %d: CRC64 check does not match", i+1, len(f.Blocks))
		if !errors.As(err, &blockError) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("block %d: got %v, want %s", i, err, want)
		}
	}
	for name, data := range map[string][]byte{"nothing": nil, "text": []byte("text"), "no tar": tartest.XZ(t, []byte(tartest.Text(1, 2000)), 0), "empty .xz": tartest.XZ(t, nil, 0)} {
		if _, err := openBytes(data); err == nil || !strings.HasPrefix(err.Error(), "xz: ") && !strings.HasPrefix(err.Error(), "tar: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Decode ends all goroutines that it starts, with and without an error.
func TestDecodeEnds(t *testing.T) {
	good := tartest.XZ(t, tartest.Tar(t, tartest.File("a", tartest.Text(1, 300_000))), 0)
	bad := tartest.XZ(t, append(tartest.Tar(t, tartest.File("a", ""), tartest.File("a/b", "")), tartest.Text(1, 300_000)...), 0)
	before := runtime.NumGoroutine()
	for range 3 {
		_, err := openBytes(good)
		must(t, err)
		if _, err := openBytes(bad); err == nil {
			t.Error("no error")
		}
	}
	// Only the deadline of the test bounds the wait.
	for runtime.NumGoroutine() > before+2 {
		time.Sleep(20 * time.Millisecond)
	}
}
