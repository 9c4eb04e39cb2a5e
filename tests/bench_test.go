// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	ulikunitz "github.com/ulikunitz/xz"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// BenchmarkPack packs the installed headers in blocks of different sizes: what
// the archive takes, and what part of it two programs have decoded, in the
// order that pack makes and in the order of paths.
func BenchmarkPack(b *testing.B) {
	stock := float64(len(content(b, stockArchive(b))))
	tree := stockTree(b)
	sizes := []int{512, 128, 256, 384, 1024}
	if testing.Short() {
		sizes = sizes[:1]
	}
	for _, kib := range sizes {
		b.Run(fmt.Sprintf("block=%dKiB", kib), func(b *testing.B) {
			out := filepath.Join(b.TempDir(), "out.tar.xz")
			for b.Loop() {
				check(b, output(exec.Command(kheadersfs(b), "pack", "--force", "--block-size", strconv.Itoa(kib<<10), "-o", out, kernelHeaders(b))))
			}
			l := packedLayout(b, out)
			byPath := pathLayout(l, int64(kib)<<10)
			b.ReportMetric(float64(len(content(b, out))), "B-archive")
			b.ReportMetric(float64(len(content(b, out)))/stock, "of-stock")
			b.ReportMetric(float64(len(l.starts)), "blocks")
			for name, program := range programs {
				files := opened(b, tree, program)
				_, n := l.decoded(files)
				b.ReportMetric(float64(n)/float64(l.size), name+"-decoded")
				_, n = byPath.decoded(files)
				b.ReportMetric(float64(n)/float64(byPath.size), name+"-by-path")
			}
		})
	}
}

// BenchmarkEncoder compresses the blocks of a packed archive by different
// encoders.
func BenchmarkEncoder(b *testing.B) {
	archive := packedArchive(b)
	stock := float64(len(content(b, stockArchive(b))))
	tar, err := exec.Command("xz", "-dc", archive).Output()
	check(b, err)
	f, err := xz.Parse(content(b, archive))
	check(b, err)
	var sizes []string
	largest := int64(0)
	for _, block := range f.Blocks {
		sizes = append(sizes, fmt.Sprint(block.Length))
		largest = max(largest, block.Length)
	}
	run := func(name string, encode func() []byte) {
		b.Run(name, func(b *testing.B) {
			var out []byte
			for b.Loop() {
				out = encode()
			}
			b.ReportMetric(float64(len(out))/stock, "of-stock")
		})
	}
	all := []string{"preset=6", "preset=9e", "preset=9e,lc=4,pb=0", "preset=9e,lc=4,pb=0,nice=273"}
	if testing.Short() {
		all = all[:1]
	}
	for _, options := range all {
		run("xz,"+options, func() []byte {
			cmd := exec.Command("xz", "-c", "-T2", "--block-list="+strings.Join(sizes, ","), "--lzma2="+options)
			cmd.Stdin = bytes.NewReader(tar)
			out, err := cmd.Output()
			check(b, err)
			return out
		})
	}
	run("ulikunitz", func() []byte {
		var out bytes.Buffer
		w, err := ulikunitz.WriterConfig{BlockSize: largest, DictCap: int(largest)}.NewWriter(&out)
		check(b, err)
		_, err = w.Write(tar)
		check(b, err)
		check(b, w.Close())
		return out.Bytes()
	})
}

// BenchmarkMount mounts, reads one header, and unmounts.
func BenchmarkMount(b *testing.B) {
	needMounts(b)
	for _, kind := range []struct{ name, archive string }{
		{"stock", stockArchive(b)},
		{"packed", packedArchive(b)},
	} {
		b.Run(kind.name, func(b *testing.B) {
			mnt := mountpoint(b)
			var first time.Duration
			for b.Loop() {
				check(b, output(exec.Command(kheadersfs(b), kind.archive, mnt)))
				mounted := time.Now()
				_, err := os.ReadFile(filepath.Join(mnt, "include/linux/kconfig.h"))
				check(b, err)
				first += time.Since(mounted)
				b.StopTimer()
				check(b, output(exec.Command("umount", mnt)))
				b.StartTimer()
			}
			b.ReportMetric(float64(first.Microseconds())/float64(b.N), "µs-first-header")
		})
	}
}
