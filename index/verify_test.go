// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// verifyTar returns a tar of many small files, some with extended headers, and one
// file that spans blocks.
func verifyTar(t testing.TB) []byte {
	long := strings.Repeat("long/", 25)
	members := []tartest.Member{tartest.Raw(tartest.PaxGlobal("comment=" + tartest.Text(1, 900))), tartest.Dir("./")}
	for i := range 40 {
		name := fmt.Sprintf("./include/%d.h", i)
		switch i % 5 {
		case 3:
			members = append(members, tartest.File(long+fmt.Sprint(i), tartest.Text(uint64(i), i*15)))
		case 4:
			members = append(members, tartest.Symlink(name, "x"), tartest.Raw(tartest.Pax(fmt.Sprintf("path=pax/%d", i)), tartest.Header('0', "x", 3, tartest.Ustar), tartest.Padded("abc")))
		default:
			members = append(members, tartest.File(name, tartest.Text(uint64(i), i*20)))
		}
	}
	members = append(members, tartest.File("large", tartest.Text(99, 10_000)), tartest.File("last", "x"))
	return tartest.Tar(t, members...)
}

type place struct {
	name string
	tarball.Span
}

// places returns where the members of a tar lie, with all their headers and without
// padding.
func places(t testing.TB, tarBytes []byte) (all []place) {
	t.Helper()
	r := bytes.NewReader(tarBytes)
	at := func() int64 { return int64(len(tarBytes) - r.Len()) }
	members := tar.NewReader(r)
	for {
		start := (at() + tarball.Block - 1) &^ (tarball.Block - 1)
		h, err := members.Next()
		if err == io.EOF {
			return all
		}
		must(t, err)
		_, err = io.Copy(io.Discard, members)
		must(t, err)
		if h.Typeflag != tar.TypeXGlobalHeader {
			all = append(all, place{path.Clean(h.Name), tarball.Span{Start: start, End: at()}})
		}
	}
}

// If the check of a decoded block does not match, the damaged files are exactly those
// with bytes in it.
func TestVerifyNamesFiles(t *testing.T) {
	tarBytes := verifyTar(t)
	all := places(t, tarBytes)
	for _, blockSize := range []int64{3000, 4096, 7777, 1 << 20} {
		packed := tartest.XZ(t, tarBytes, blockSize)
		must(t, verify(packed))
		f, err := xz.Parse(packed)
		must(t, err)
		for i, b := range f.Blocks {
			for j := range f.Blocks {
				if j < i || j > i && (blockSize != 7777 || i%3 > 0) {
					continue // two at once are enough for one block size
				}
				bad := bytes.Clone(packed)
				damaged := slices.Compact([]int{i, j})
				var want []string
				for _, d := range damaged {
					bad[f.Blocks[d].Offset+f.Blocks[d].Size-1] ^= 1
				}
				for _, p := range all {
					for _, d := range damaged {
						if b := f.Blocks[d]; p.Start < b.Start+b.Length && p.End > b.Start {
							want = append(want, p.name)
							break
						}
					}
				}
				var damage *DamageError
				if err := verify(bad); !errors.As(err, &damage) {
					t.Fatalf("block %d: %v", i, err)
				}
				if len(damage.Blocks) != len(damaged) || damage.Lost != 0 || !slices.Equal(damage.Files, want) {
					t.Errorf("blocks of %d, %d: damaged %v, %d lost, hit\n%q, want %d,\n%q", blockSize, b.Length,
						damage.Blocks, damage.Lost, damage.Files, damaged, want)
				}
				for k, d := range damaged {
					var blockError *xz.BlockError
					if !errors.As(damage.Blocks[k], &blockError) || blockError.Block != d {
						t.Errorf("damaged block %d: got %v", d, damage.Blocks[k])
					}
				}
			}
		}
	}
}

// If nothing of a block decodes, the files that begin in it have no names: Lost
// counts its bytes. Files that begin before it are named, and others are not.
func TestVerifyReportsLost(t *testing.T) {
	tarBytes := verifyTar(t)
	all := places(t, tarBytes)
	packed := tartest.XZ(t, tarBytes, 4096)
	f, err := xz.Parse(packed)
	must(t, err)
	for i, b := range f.Blocks {
		bad := bytes.Clone(packed)
		bad[b.Offset+8] ^= 1 // in the header, or its checksum
		var damage *DamageError
		if err := verify(bad); !errors.As(err, &damage) {
			t.Fatalf("block %d: %v", i, err)
		}
		var want []string
		for _, p := range all {
			if p.Start < b.Start && p.End > b.Start {
				want = append(want, p.name)
			}
		}
		if damage.Lost != b.Length || len(damage.Blocks) != 1 {
			t.Errorf("block %d: %d lost in %v, want %d", i, damage.Lost, damage.Blocks, b.Length)
		}
		for _, name := range damage.Files {
			if n := slices.IndexFunc(all, func(p place) bool { return p.name == name }); n < 0 || all[n].Start >= b.Start+b.Length || all[n].End <= b.Start {
				t.Errorf("block %d: %s does not lie in it", i, name)
			}
		}
		for _, name := range want {
			if !slices.Contains(damage.Files, name) && headerIn(all, name, tarBytes, b) {
				t.Errorf("block %d: %s begins before it and is not reported", i, name)
			}
		}
		lines := damage.Lines()
		if want := fmt.Sprintf("damaged: all else in %d bytes that can't be decoded", b.Length); lines[len(lines)-1] != want ||
			!strings.HasPrefix(lines[0], fmt.Sprintf("xz block %d of %d: ", i+1, len(f.Blocks))) {
			t.Errorf("block %d: %q", i, lines)
		}
	}
}

// headerIn reports whether all headers of a member lie in front of a block, so that
// its name is known.
func headerIn(all []place, name string, tarBytes []byte, b xz.Block) bool {
	n := slices.IndexFunc(all, func(p place) bool { return p.name == name })
	members := tar.NewReader(bytes.NewReader(tarBytes[all[n].Start:min(b.Start, all[n].End)]))
	_, err := members.Next()
	return err == nil
}

// Verify checks what is left of a file that is cut short.
func TestVerifyTruncated(t *testing.T) {
	tarBytes := verifyTar(t)
	all := places(t, tarBytes)
	packed := tartest.XZ(t, tarBytes, 4096)
	f, err := xz.Parse(packed)
	must(t, err)
	for i, b := range f.Blocks {
		for _, n := range []int64{b.Offset, b.Offset + 5, b.Offset + b.Size/2, b.Offset + b.Size - 9, b.Offset + b.Size - 1, b.Offset + (b.Size+3)&^3} {
			var damage *DamageError
			if err := verify(packed[:n]); !errors.As(err, &damage) || !strings.HasPrefix(err.Error(), "xz: ") {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
			whole := n == b.Offset || n == b.Offset+(b.Size+3)&^3 // cut between blocks
			if len(damage.Blocks) > 1 || whole && len(damage.Blocks) != 0 || !whole && len(damage.Blocks) != 1 {
				t.Errorf("cut in block %d, to %d bytes: damaged %v", i, n, damage.Blocks)
			}
			for _, name := range damage.Files {
				if n := slices.IndexFunc(all, func(p place) bool { return p.name == name }); n < 0 || all[n].End <= b.Start {
					t.Errorf("cut in block %d: %s does not lie in it", i, name)
				}
			}
		}
	}
}

// An archive that is refused, but not damaged, has no damaged blocks.
func TestVerifyRefused(t *testing.T) {
	for _, m := range []tartest.Member{tartest.Special("p", tar.TypeFifo), tartest.File("../a", "x"), tartest.Raw([]byte(tartest.Text(1, tarball.Block)))} {
		var damage *DamageError
		if err := verify(tartest.XZ(t, tartest.Tar(t, m), 0)); !errors.As(err, &damage) || len(damage.Lines()) != 0 {
			t.Errorf("%v: %v", m.Header.Name, err)
		}
	}
	packed := tartest.XZ(t, verifyTar(t), 4096)
	packed[len(packed)-20] ^= 1 // the index
	var damage *DamageError
	if err := verify(packed); !errors.As(err, &damage) || len(damage.Lines()) != 0 || err.Error() != "xz: checksum of the index does not match" {
		t.Errorf("a damaged index: %v, %q", err, damage.Lines())
	}
}
