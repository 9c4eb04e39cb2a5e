// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// writingCache is the mount that is made before a cached one can be.
const writingCache = "kheadersfs, stock, writing the cache"

// A goal is a limit for a ratio of two cells, or for one cell in MiB.
type goal struct {
	text  string
	value cell
	per   cell // none: value itself
	limit float64
}

func allGoals() []goal {
	// lazy are the two kinds of archive that are read block by block.
	lazy := []string{cached, packed}
	var goals []goal
	ratio := func(text, row, subject, reference string, limit float64) {
		goals = append(goals, goal{text, cell{row, subject}, cell{row, reference}, limit})
	}
	both := func(text, row, reference string, limit float64) {
		for _, s := range lazy {
			ratio(s+": "+text, row, s, reference, limit)
		}
	}
	ratio("`verify` of the stock archive ÷ `xz -T1 -t`", decoding, verifying, xzTest, 0.83)
	ratio(stock+": mount ÷ `tar -xf` to tmpfs", mounting, stock, untar, 0.8)
	ratio(stock+": mount and compile A ÷ tar and compile A", mountAndA, stock, untar, 0.95)
	both("mount ÷ empty go-fuse mount", mounting, emptyMount, 2.5)
	both("first find ÷ squashfs xz", coldFind, squashfsXz, 1.0)
	both("first read ÷ squashfs xz", coldRead, squashfsXz, 0.8)
	both("first A ÷ tmpfs", coldA, onTmpfs, 1.15)
	both("first A ÷ EROFS lz4hc", coldA, erofsLz4, 1.1)
	both("second find ÷ tmpfs", warmFind, onTmpfs, 1.05)
	both("second read ÷ tmpfs", warmRead, onTmpfs, 1.05)
	both("second A ÷ tmpfs", warmA, onTmpfs, 1.05)
	both("second B ÷ tmpfs", warmB, onTmpfs, 1.05)
	both("16 × A at once ÷ tmpfs", sixteenA, onTmpfs, 1.05)
	for _, module := range []string{small, large} {
		both("first build of the "+module+" module ÷ ext4", coldBuild(module), onExt4, 1.3)
		both("second build of the "+module+" module ÷ ext4", warmBuild(module), onExt4, 1.05)
	}
	goals = append(goals, goal{text: stock + ": peak RSS until it answers", value: cell{peak, stock}, limit: 40})
	goals = append(goals, goal{text: writingCache + ": peak RSS", value: cell{peak, writingCache}, limit: 40})
	for _, s := range lazy {
		goals = append(goals, goal{text: s + ": RSS after reading everything", value: cell{steady, s}, limit: 14})
	}
	return goals
}

// goals prints each goal, what was measured, and whether it holds.
func (b *bench) goals(p *printer) {
	lines := [][]string{{"", "measured", "limit", "holds"}}
	for _, g := range allGoals() {
		line := []string{g.text, "—", fmt.Sprintf("%.2f", g.limit), "not measured"}
		value, ok := b.res.ratio(g.value, g.per)
		a, _ := b.res.median(g.value)
		c, _ := b.res.median(g.per)
		measured := fmt.Sprintf("%.2f (%s ÷ %s ms)", value, number(a), number(c))
		if g.per == (cell{}) {
			value, ok = b.res.median(g.value)
			measured = fmt.Sprintf("%.1f MiB", value)
			line[2] = fmt.Sprintf("%.0f MiB", g.limit)
		}
		if ok {
			line[1], line[3] = measured, "yes"
			if value > g.limit {
				line[3] = "no"
			}
		}
		lines = append(lines, line)
	}
	p.table(lines)
}
