// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// prepare makes the archive, the tree, the programs, and all subjects.
func (b *bench) prepare() (archive string, err error) {
	b.progress("a stock archive of the installed headers")
	archive, err = b.made("stock.tar.xz", func(path string) []string { return []string{"tests/stock-archive.sh", path} })
	if err != nil {
		return "", err
	}
	b.tree = filepath.Join(b.mem, "tree")
	if err := os.Mkdir(b.tree, 0o755); err != nil {
		return "", err
	}
	if err := b.run("tar", "-xf", archive, "-C", b.tree); err != nil {
		return "", err
	}
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(b.mem, name+".c"), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	resources, err := exec.Command("clang", "-print-resource-dir").Output()
	if err != nil {
		return "", fmt.Errorf("clang -print-resource-dir: %w", err)
	}
	os.Setenv("CLANG_RESOURCE_DIR", strings.TrimSpace(string(resources)))
	b.subjects, err = b.makeAll(b.candidates(archive, b.tree), b.tree)
	for _, program := range []string{"sh", "clang", "find", "xargs", "cat", "xz", "realpath", "uname"} {
		keepInMemory(program)
	}
	return archive, err
}

// makeAll makes the subjects that this machine can have, and checks that they
// hold the files of a tree.
func (b *bench) makeAll(candidates []candidate, tree string) (subjects []*subject, err error) {
	want, err := listing(tree)
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		if len(b.only) > 0 && !slices.ContainsFunc(b.only, func(p string) bool { return strings.HasPrefix(c.name, p) }) {
			continue
		}
		b.progress("making: %s", c.name)
		s, err := c.make()
		if err == nil {
			s.name, s.header = c.name, kconfig
			err = b.with(s, func(dir string, _ time.Duration) error {
				if s.noFiles {
					return nil
				}
				got, err := listing(dir)
				if err == nil && got != want {
					err = errors.New("does not hold the same files")
				}
				return err
			})
		}
		if b.ctx.Err() != nil {
			return nil, b.ctx.Err()
		}
		if err != nil {
			b.res.lack(c.name, err)
			continue
		}
		if len(s.command) > 0 {
			keepInMemory(s.command[0])
		}
		if s.firstPeak > 0 && tree == b.tree {
			b.res.add(cell{peak, writingCache}, 0, float64(s.firstPeak)/1024)
		}
		if s.size > 0 && tree == b.tree {
			b.res.add(cell{space, s.name}, 0, float64(s.size)/(1<<20))
		}
		subjects = append(subjects, s)
	}
	return subjects, nil
}

// keepInMemory maps a program and its libraries for as long as we live:
// drop_caches leaves what is mapped, so no program is ever read from a disk
// while something is timed.
func keepInMemory(program string) {
	path, err := exec.LookPath(program)
	if err != nil {
		return
	}
	libraries, _ := exec.Command("ldd", path).Output() // fails for a static one
	for _, word := range append(strings.Fields(string(libraries)), path) {
		f, err := os.Open(word)
		if err != nil || !filepath.IsAbs(word) {
			continue
		}
		if st, err := f.Stat(); err == nil && st.Size() > 0 {
			unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
		}
		f.Close()
	}
}
