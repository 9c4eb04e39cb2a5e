// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// tenfoldRounds has no rounds that only warm up: the programs are warm by now.
const tenfoldRounds = 2

// copies names what is measured of a tree of n copies.
func copies(column string, n int) string { return fmt.Sprintf("%s of %d", column, n) }

// tenfold measures how the costs grow when the tree does. The archives are made
// alike for both: one block, by a quick xz.
func (b *bench) tenfold() error {
	sizes := map[int][]*subject{}
	for _, n := range []int{1, 10} {
		b.progress("making: %d copies of the tree", n)
		var err error
		if sizes[n], err = b.tenfoldSubjects(n); err != nil {
			return err
		}
	}
	out := map[string]bool{}
	for round := range tenfoldRounds {
		for i := range sizes[1] {
			for _, n := range []int{1, 10} {
				s := sizes[n][i]
				if out[s.name] || len(s.command) == 0 {
					continue
				}
				b.progress("tenfold, round %d of %d: %s, %d copies", round+1, tenfoldRounds, s.name, n)
				err := pass{b, s, round + 1}.grow(n)
				if b.ctx.Err() != nil {
					return b.ctx.Err()
				}
				if err != nil {
					b.res.lack(fmt.Sprintf("%s, %d copies", s.name, n), err)
					out[s.name] = true
				}
			}
		}
	}
	return nil
}

// tenfoldSubjects makes a tree of n copies, archives and images of it, and
// removes it. A subject that cannot be made has no command.
func (b *bench) tenfoldSubjects(n int) ([]*subject, error) {
	tree := filepath.Join(b.mem, "copies"+strconv.Itoa(n))
	if err := os.Mkdir(tree, 0o755); err != nil {
		return nil, err
	}
	for i := range n {
		if err := b.run("cp", "-r", b.tree, filepath.Join(tree, strconv.Itoa(i))); err != nil {
			return nil, err
		}
	}
	archive, err := b.made(filepath.Base(tree)+".tar.xz", func(path string) []string {
		return []string{"sh", "-c", `tar -C "$1" --sort=name -cf - . | xz -1 -T1 >"$2"`, "sh", tree, path}
	})
	if err != nil {
		return nil, err
	}
	header := filepath.Join("0", kconfig)
	var all []*subject
	for _, c := range []candidate{
		{stock, func() (*subject, error) { return b.kheadersfs(archive, "--no-cache") }},
		{cached, func() (*subject, error) { return b.kheadersfsCached(archive, header) }},
		{untar, func() (*subject, error) {
			return &subject{command: []string{"tar", "-xf", archive, "-C"}, plain: true}, nil
		}},
		// mksquashfs finds the copies otherwise.
		{squashfsZstd, func() (*subject, error) {
			return b.squashfs(tree, "zstd", "-no-duplicates", "-Xcompression-level", "3")
		}},
		{erofsLz4, func() (*subject, error) { return b.erofs(tree, "lz4hc") }},
	} {
		s, err := c.make()
		if err != nil {
			b.res.lack(fmt.Sprintf("%s, %d copies", c.name, n), err)
			s = &subject{}
		}
		s.name, s.header = c.name, header
		all = append(all, s)
	}
	return all, os.RemoveAll(tree)
}

// grow measures a mount, and a first listing and a first reading in a mount
// each.
func (p pass) grow(n int) error {
	for _, step := range []struct{ column, script string }{{coldFind, findAll}, {coldRead, readAll}} {
		if err := dropCaches(); err != nil {
			return err
		}
		if err := p.warmPrograms(); err != nil {
			return err
		}
		err := p.with(p.s, func(dir string, mount time.Duration) error {
			if step.column == coldFind {
				p.note(copies(mounting, n), mount, nil)
			}
			took, err := p.timed(dir, "sh", "-c", step.script)
			return p.note(copies(step.column, n), took, err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
