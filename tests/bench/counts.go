// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// What is counted: the requests that a reader waits for, and those by which names are looked
// up when the mount answers, for which nobody waits.
const (
	countFind, countRead, countA, countB = "requests of find", "requests of reading", "requests of A", "requests of B"
	countNames                           = "requests for names"
)

// A count is one program whose requests are counted. A few kinds are told apart.
type count struct {
	row, script string
	goal        float64
	perFile     bool // the goal
}

func (b *bench) allCounts() []count {
	return []count{
		{countFind, findAll, 250, false}, {countRead, readAll, 0.15, true},
		{countA, b.compile("a"), 60, false}, {countB, b.compile("b"), 60, false},
	}
}

// kinds are those of which there are many. A reader who lists everything, to read it, waits
// for that too; the goal for reading is without it.
var kinds = []string{"LOOKUP", "READ", "READDIRPLUS"}

// count counts requests, as the server logs them, for each program in a new mount.
func (b *bench) count() error {
	if !b.wanted("counts") {
		return nil
	}
	for _, s := range b.subjects {
		if !slices.Contains([]string{stock, cached, packed}, s.name) {
			continue
		}
		for _, c := range b.allCounts() {
			b.progress("counting: %s, %s", s.name, c.row)
			for round := range few {
				if err := b.countOnce(s, c, round); err != nil {
					return fmt.Errorf("%s: %s: %w", s.name, c.row, err)
				}
			}
		}
	}
	return nil
}

func (b *bench) countOnce(s *subject, c count, round int) (err error) {
	dir, err := b.newMountpoint()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(b.mem, "requests.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	server := exec.CommandContext(b.ctx, s.command[0], slices.Concat([]string{"--foreground", "--debug"}, s.command[1:], []string{dir})...)
	server.Stderr = log
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		if unix.Unmount(dir, unix.MNT_DETACH) != nil {
			server.Process.Kill()
		}
		err = errors.Join(err, server.Wait(), os.Remove(dir))
	}()
	requests := func() map[string]int {
		text, _ := os.ReadFile(log.Name())
		n := map[string]int{}
		for _, m := range regexp.MustCompile(`: rx \d+: (\w+) `).FindAllSubmatch(text, -1) {
			n[string(m[1])]++
			n[""]++
		}
		return n
	}
	// Names have been looked up when there are no more requests.
	before := map[string]int{}
	err = b.poll(200*time.Millisecond, func() bool {
		var st unix.Statfs_t
		last := before[""]
		before = requests()
		return unix.Statfs(dir, &st) == nil && st.Type == unix.FUSE_SUPER_MAGIC && before[""] <= last+1
	})
	if err != nil {
		return err
	}
	if _, err := b.timed(dir, "sh", "-c", c.script); err != nil {
		return err
	}
	after := requests()
	for _, kind := range append([]string{""}, kinds...) {
		b.res.add(cell{c.row + kind, s.name}, round, float64(after[kind]-before[kind]))
	}
	if slices.Contains(b.subjects, s) {
		b.res.add(cell{countNames, s.name}, round, float64(before["LOOKUP"]+before["READDIRPLUS"]))
	}
	return nil
}

// counts prints the requests of each program.
func (b *bench) counts(p *printer) {
	lines := [][]string{append(append([]string{""}, kinds...), "all", "goal", "holds")}
	files := float64(b.files())
	for _, s := range []string{stock, cached, packed} {
		for _, c := range b.allCounts() {
			all, ok := b.res.median(cell{c.row, s})
			if !ok {
				continue
			}
			line := []string{s + ": " + c.row}
			for _, kind := range kinds {
				n, _ := b.res.median(cell{c.row + kind, s})
				line = append(line, fmt.Sprintf("%.0f", n))
			}
			value, goal := all, fmt.Sprintf("%.0f", c.goal)
			if c.perFile {
				reads, _ := b.res.median(cell{c.row + "READ", s})
				value = reads / files
				goal = fmt.Sprintf("READ: %.2f a file", c.goal)
			}
			holds := "yes"
			if value > c.goal {
				holds = "no"
			}
			if c.perFile {
				holds += fmt.Sprintf(" (%.2f)", value)
			}
			lines = append(lines, append(line, fmt.Sprintf("%.0f", all), goal, holds))
		}
		if n, ok := b.res.median(cell{countNames, s}); ok && n > 100 {
			lines = append(lines, []string{s + ": " + countNames, "", "", "", fmt.Sprintf("%.0f", n), "", "nobody waits"})
		}
	}
	p.table(lines)
}

// files returns the number of files in the tree.
func (b *bench) files() (n int) {
	filepath.WalkDir(b.tree, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}
