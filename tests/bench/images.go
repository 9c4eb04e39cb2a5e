// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The names of the subjects that goals and tables speak of.
const (
	stock        = "kheadersfs, stock"
	cached       = "kheadersfs, cached"
	packed       = "kheadersfs, packed"
	untar        = "tar -xf to tmpfs"
	onTmpfs      = "tree on tmpfs"
	onExt4       = "tree on ext4"
	squashfsXz   = "squashfs xz"
	squashfsZstd = "squashfs zstd"
	erofsLz4     = "EROFS lz4hc"
	emptyMount   = "empty go-fuse mount"
)

// A candidate is a subject that this machine may not be able to make.
type candidate struct {
	name string
	make func() (*subject, error)
}

// candidates returns how all subjects are made, of the stock archive and the tree
// that tar makes of it.
func (b *bench) candidates(archive, tree string) []candidate {
	return []candidate{
		{stock, func() (*subject, error) { return b.kheadersfs(archive, "--no-cache") }},
		{cached, func() (*subject, error) { return b.kheadersfsCached(archive, kconfig) }},
		{packed, func() (*subject, error) {
			path, err := b.made("packed.tar.xz", func(path string) []string {
				return []string{b.program, "pack", "-o", path, archive}
			})
			if err != nil {
				return nil, err
			}
			return b.kheadersfs(path)
		}},
		{untar, func() (*subject, error) {
			return &subject{command: []string{"tar", "-xf", archive, "-C"}, plain: true, size: blocks(tree)}, nil
		}},
		{onTmpfs, func() (*subject, error) { return &subject{tree: tree, size: blocks(tree)}, nil }},
		{onExt4, func() (*subject, error) { return b.ext4(tree) }},
		{squashfsXz, func() (*subject, error) { return b.squashfs(tree, "xz") }},
		{squashfsZstd, func() (*subject, error) { return b.squashfs(tree, "zstd") }},
		{erofsLz4, func() (*subject, error) { return b.erofs(tree, "lz4hc") }},
		{"EROFS lzma", func() (*subject, error) { return b.erofs(tree, "lzma") }},
		{"squashfuse_ll, zstd", func() (*subject, error) { return b.peer(b.squashfs, tree, "zstd", "squashfuse_ll") }},
		{"erofsfuse, lz4hc", func() (*subject, error) { return b.peer(b.erofs, tree, "lz4hc", "erofsfuse") }},
		{"archivemount", func() (*subject, error) { return onFile(archive, "archivemount", "-o", "readonly", archive) }},
		{"fuse-archive", func() (*subject, error) { return onFile(archive, "fuse-archive", archive) }},
		{emptyMount, func() (*subject, error) {
			program, err := b.made("empty", func(path string) []string {
				return []string{"env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./tests/bench/empty"}
			})
			return &subject{command: []string{program}, noFiles: true}, err
		}},
	}
}

// made returns the path of a file on the tmpfs, which a command makes the first
// time.
func (b *bench) made(name string, command func(path string) []string) (string, error) {
	path := filepath.Join(b.mem, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	err := b.run(command(path)...)
	if err != nil {
		os.Remove(path)
	}
	return path, err
}

// onFile is a subject that a command mounts, to which the mount point is
// appended.
func onFile(file string, command ...string) (*subject, error) {
	if err := isInstalled(command[0]); err != nil {
		return nil, err
	}
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	return &subject{command: command, size: st.Size()}, nil
}

func (b *bench) kheadersfs(archive string, flags ...string) (*subject, error) {
	return onFile(archive, slices.Concat([]string{b.program}, flags, []string{archive})...)
}

// kheadersfsCached mounts once, so that there is a cache file for the archive.
func (b *bench) kheadersfsCached(archive, header string) (*subject, error) {
	dir, err := os.MkdirTemp(b.mem, "cache-")
	if err != nil {
		return nil, err
	}
	s, err := b.kheadersfs(archive, "--cache-dir", dir)
	if err != nil {
		return nil, err
	}
	s.header = header
	var files []string
	err = b.with(s, func(mnt string, _ time.Duration) error {
		err := b.poll(10*time.Millisecond, func() bool {
			files, _ = filepath.Glob(filepath.Join(dir, "*.v1.tar.zst"))
			return len(files) > 0
		})
		for _, pid := range servers(mnt) { // the others, which take less, may end meanwhile
			if kib, err := field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM"); err == nil {
				s.firstPeak = max(s.firstPeak, kib)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making the cache file: %w", err)
	}
	st, err := os.Stat(files[0])
	if err != nil {
		return nil, err
	}
	s.size = st.Size()
	return s, nil
}

func (b *bench) ext4(tree string) (*subject, error) {
	if err := isInstalled("mke2fs"); err != nil {
		return nil, err
	}
	path, err := b.made(filepath.Base(tree)+".ext4", func(path string) []string {
		return []string{"mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", tree, path, "128M"}
	})
	if err != nil {
		return nil, err
	}
	s := &subject{command: loop("ext4", path), header: kconfig}
	// The image has room to spare: what counts is what the tree takes in it.
	err = b.with(s, func(dir string, _ time.Duration) error {
		s.size = blocks(dir)
		return nil
	})
	return s, err
}

func (b *bench) squashfs(tree, compressor string, options ...string) (*subject, error) {
	if err := isInstalled("mksquashfs"); err != nil {
		return nil, err
	}
	path, err := b.made(filepath.Base(tree)+"-"+compressor+".squashfs", func(path string) []string {
		return append([]string{"mksquashfs", tree, path, "-comp", compressor, "-noappend", "-quiet", "-no-progress"}, options...)
	})
	if err != nil {
		return nil, err
	}
	return onFile(path, loop("squashfs", path)...)
}

func (b *bench) erofs(tree, compressor string, _ ...string) (*subject, error) {
	if err := isInstalled("mkfs.erofs"); err != nil {
		return nil, err
	}
	path, err := b.made(filepath.Base(tree)+"-"+compressor+".erofs", func(path string) []string {
		return []string{"mkfs.erofs", "-d1", "-z" + compressor, path, tree}
	})
	if err != nil {
		return nil, err
	}
	// Since Linux 6.12 it is mounted without a loop device, which mount(8) would set up.
	direct := []string{"/proc/self/exe", "mount", "erofs", path}
	if err := b.with(&subject{command: direct}, func(string, time.Duration) error { return nil }); err == nil {
		return onFile(path, direct...)
	}
	return onFile(path, loop("erofs", path)...)
}

// mountFile calls mount(2), and ends the process.
func mountFile(fstype, image, dir string) {
	if err := unix.Mount(image, dir, fstype, unix.MS_RDONLY, ""); err != nil {
		fmt.Fprintln(os.Stderr, "mount:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// peer mounts, with another command, the image that a kernel filesystem mounts.
func (b *bench) peer(image func(string, string, ...string) (*subject, error), tree, compressor, command string) (*subject, error) {
	s, err := image(tree, compressor)
	if err != nil {
		return nil, err
	}
	return onFile(s.command[len(s.command)-1], command, s.command[len(s.command)-1])
}

func loop(fstype, image string) []string {
	return []string{"mount", "-t", fstype, "-o", "loop,ro", image}
}

// blocks returns what the files and directories of a tree take, in bytes.
func blocks(dir string) (sum int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	return sum
}
