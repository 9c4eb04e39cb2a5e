// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/tests/need"
)

var packed once

// packedArchive returns the archive that pack makes of Debian's headers.
func packedArchive(t testing.TB) string {
	t.Helper()
	need.Command(t, "xz")
	dir, program := kernelHeaders(t), kheadersfs(t)
	return packed.get(t, "packed.tar.xz", func(path string) error {
		return output(exec.Command(program, "pack", "-o", path, dir))
	})
}

// programs are what tracing programs include, little and much.
var programs = map[string]string{
	"A": "#include <linux/types.h>\n#include <linux/sched.h>\n",
	"B": "#include <linux/fs.h>\n#include <net/sock.h>\n#include <linux/blkdev.h>\n",
}

// opened returns the headers that a program reads, as paths in the tree.
func opened(t testing.TB, tree, program string) []string {
	t.Helper()
	need.Command(t, "clang")
	dir := t.TempDir()
	source, deps := filepath.Join(dir, "prog.c"), filepath.Join(dir, "deps")
	check(t, os.WriteFile(source, []byte(program), 0o644))
	check(t, output(exec.Command("./compile.sh", tree, source, deps, "-M")))
	var files []string
	for _, word := range strings.Fields(string(content(t, deps))) {
		if name := filepath.Clean(word); strings.HasPrefix(name, "include/") || strings.HasPrefix(name, "arch/") {
			files = append(files, name)
		}
	}
	if len(files) < 200 {
		t.Fatalf("the program reads only %d headers", len(files))
	}
	return files
}

// A layout is where the blocks of an archive begin, and the place of each file.
type layout struct {
	starts []int64
	files  map[string][2]int64 // begin and end
	size   int64
}

// decoded returns how many blocks hold bytes of the files, and their bytes.
func (l *layout) decoded(files []string) (blocks int, bytes int64) {
	hit := map[int]bool{}
	for _, name := range files {
		at := l.files[name]
		for i, start := range l.starts {
			end := l.size
			if i+1 < len(l.starts) {
				end = l.starts[i+1]
			}
			if start < at[1] && at[0] < end && !hit[i] {
				hit[i] = true
				bytes += end - start
			}
		}
	}
	return len(hit), bytes
}

// packedLayout reads the layout of a packed archive: its xz index tells the
// blocks, its tar the files.
func packedLayout(t testing.TB, archive string) *layout {
	t.Helper()
	f, err := xz.Parse(content(t, archive))
	check(t, err)
	l := &layout{files: map[string][2]int64{}, size: f.Unpacked()}
	for _, b := range f.Blocks {
		l.starts = append(l.starts, b.Start)
	}
	members, err := exec.Command("tar", "-tvRf", archive).Output()
	check(t, err)
	for line := range strings.Lines(string(members)) {
		// block 123: -rw-r--r-- 0/0 size date time ./name
		var block, size int64
		words := strings.Fields(line)
		if len(words) < 8 {
			continue // the end-of-archive marker
		}
		fmt.Sscanf(words[1], "%d:", &block)
		fmt.Sscan(words[4], &size)
		name := filepath.Clean(words[7])
		l.files[name] = [2]int64{block*512 + 512, block*512 + 512 + size}
	}
	return l
}

// pathLayout is the layout that the same files have in the order of their
// paths, cut by the same rule.
func pathLayout(l *layout, blockSize int64) *layout {
	out := &layout{files: map[string][2]int64{}, starts: []int64{0}}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range l.files {
			if !yield(name) {
				return
			}
		}
	}) {
		size := l.files[name][1] - l.files[name][0]
		start := &out.starts[len(out.starts)-1]
		if used := out.size - *start; used > 0 && used+512+size > blockSize {
			out.starts = append(out.starts, out.size)
		}
		out.files[name] = [2]int64{out.size + 512, out.size + 512 + size}
		out.size += 512 + (size+511)/512*512
	}
	return out
}

// TestPackedLocality: what one program reads lies in few blocks.
func TestPackedLocality(t *testing.T) {
	archive := packedArchive(t)
	l := packedLayout(t, archive)
	for name, most := range map[string]float64{"A": 0.08, "B": 0.17} {
		blocks, bytes := l.decoded(opened(t, stockTree(t), programs[name]))
		part := float64(bytes) / float64(l.size)
		t.Logf("program %s: %d of %d blocks, %d bytes, %.3f of all", name, blocks, len(l.starts), bytes, part)
		if part > most {
			t.Errorf("program %s decodes %.3f of the archive, more than %.2f", name, part, most)
		}
	}
	if packed, stock := len(content(t, archive)), len(content(t, stockArchive(t))); float64(packed) > 1.12*float64(stock) {
		t.Errorf("%d bytes, %.3f of the stock archive's %d", packed, float64(packed)/float64(stock), stock)
	} else {
		t.Logf("%d bytes, %.3f of the stock archive's %d", packed, float64(packed)/float64(stock), stock)
	}
}

// TestPackedIsOrdinary unpacks the archive with all readers of tar, from the file and
// from a pipe: they print nothing, and make the tree that a stock archive makes.
func TestPackedIsOrdinary(t *testing.T) {
	t.Parallel()
	need.Command(t, "tar", "bsdtar", "busybox", "python3", "xz", "bash", "diff")
	archive := packedArchive(t)
	mnt := mount(t, archive)
	for name, script := range map[string]string{
		"GNU tar":              `tar -xf "$A"`,
		"GNU tar, piped":       `xz -dc "$A" | tar -xf -`,
		"GNU tar, list, piped": `xz -dc "$A" | tar -t | wc -l >/dev/null; mkdir include; touch stop`,
		"bsdtar":               `bsdtar -xf "$A"`,
		"bsdtar, piped":        `xz -dc "$A" | bsdtar -xf -`,
		"busybox tar":          `busybox tar -xJf "$A"`,
		"busybox tar, piped":   `busybox xzcat "$A" | busybox tar -xf -`,
		"Python":               `python3 -W ignore -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall()' "$A"`,
		"Python, piped":        `xz -dc "$A" | python3 -W ignore -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode="r|").extractall()'`,
		"kheadersfs extract":   `rmdir "$PWD"; "$EXE" extract "$A" "$PWD"`,
		"xz -t and xz -lv":     `xz -t "$A"; xz -lv "$A" >/dev/null; mkdir include; touch stop`,
		"kheadersfs verify":    `"$EXE" verify "$A" >/dev/null; mkdir include; touch stop`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			check(t, os.Mkdir(dir, 0o755))
			cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "A="+archive, "EXE="+kheadersfs(t))
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Fatalf("%v\n%s", err, out)
			}
			if _, err := os.Stat(filepath.Join(dir, "stop")); err == nil {
				return
			}
			check(t, output(exec.Command("diff", "-r", "--no-dereference", dir, mnt)))
		})
	}
	// Besides what a stock archive has, it has the kernel's configuration.
	tree := t.TempDir()
	check(t, output(exec.Command("cp", "-r", stockTree(t)+"/.", tree)))
	for _, name := range []string{"auto.conf", "kernel.release"} {
		file := filepath.Join(kernelHeaders(t), "include/config", name)
		if b, err := os.ReadFile(file); err == nil {
			check(t, os.MkdirAll(filepath.Join(tree, "include/config"), 0o755))
			check(t, os.WriteFile(filepath.Join(tree, "include/config", name), b, 0o644))
		}
	}
	check(t, output(exec.Command("diff", "-r", "--no-dereference", tree, mnt)))
}

// TestPackDeterministic packs the same tree twice, with other numbers of jobs.
func TestPackDeterministic(t *testing.T) {
	tree := smallTree(t)
	check(t, os.Rename(filepath.Join(tree, "arch"), filepath.Join(tree, "gone")))
	check(t, os.MkdirAll(filepath.Join(tree, "arch/x86/include/asm"), 0o755))
	check(t, os.WriteFile(filepath.Join(tree, "arch/x86/include/asm/a.h"), nil, 0o644))
	pack := func(args ...string) []byte {
		out := filepath.Join(t.TempDir(), "out")
		cmd := exec.Command(kheadersfs(t), append(append([]string{"pack"}, args...), "-o", out, tree)...)
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1500000000", "XZ_OPT=-0", "XZ_DEFAULTS=--check=none")
		check(t, output(cmd))
		return content(t, out)
	}
	first := pack("--jobs=1")
	if !bytes.Equal(first, pack("--jobs=2")) || !bytes.Equal(first, pack()) {
		t.Error("not the same bytes")
	}
	if bytes.Equal(first, pack("--block-size=4096")) {
		t.Error("the block size changes nothing")
	}
	t1, err := index.Open(bytes.NewReader(first), int64(len(first)))
	check(t, err)
	id, ok := t1.Find("include/linux/types.h")
	if e := t1.Entry(id); !ok || e.Sec != 1500000000 {
		t.Errorf("time %d", e.Sec)
	}
	id, ok = t1.Find("include/big.h")
	if e := t1.Entry(id); !ok || e.Sec != 1e9 {
		t.Errorf("an older time: %d", e.Sec)
	}
}
