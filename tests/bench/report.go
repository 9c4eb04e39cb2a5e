// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"unicode/utf8"
)

// A column shows one measurement of each subject, and its ratio to that of a
// reference, if it has one.
type column struct{ title, row, reference string }

// report prints everything in Markdown.
func (b *bench) report(w io.Writer) error {
	p := &printer{w: w}
	b.machine(p)
	p.text(`## Against other filesystems`)
	p.text(`Medians of %d rounds; program B, sixteen compiles at once, and memory, of %d. In a round all subjects take turns, and a
ratio (in brackets) is the median of the ratios within a round. Compare those: machines differ, and so do their hours.
Archives, images and cache files lie on a tmpfs, so no disk is measured, and dropping caches leaves them where they are. A dash:
nothing to measure, or not measured, for which see the end. What takes more than %.0f s is given up, and more of it is not tried.`, b.rounds-1, min(b.rounds-1, few), limit.Seconds())

	p.text(`### Mounting`)
	p.text(`From the start of the command until a header answers to stat(2); loop devices are set up by mount(8) meanwhile, tar
unpacks into an empty directory of a tmpfs. Nothing is dropped before: each mount is new, and the programs are in memory.
The first byte is of `+"`%s`"+`, just after. Four mounts are of the same file, started together; mount(8)
gives all four the same loop device. A is compiled as below. Each name in the empty mount is a directory.`, kconfig)
	b.table(p, []column{
		{"mount, ms (÷ tar)", mounting, untar}, {"first byte, ms", firstByte, ""},
		{"four at once, ms (÷ tar)", fourMounts, untar}, {"mount and compile A, ms (÷ tar)", mountAndA, untar},
	})

	p.text(`### The first time`)
	p.text("In a new mount, with `sync; echo 3 >/proc/sys/vm/drop_caches` before it, and all programs in memory. What lies on a\n"+
		"tmpfs stays in memory, so the tree there is never cold. Find is `%s`, which needs the attributes of each\n"+
		"name. Read is `%s`. A includes `linux/types.h` and `linux/sched.h`,\n"+
		"B `linux/fs.h`, `net/sock.h` and `linux/blkdev.h`. Both are compiled to objects (`-c`) by `tests/compile.sh`: it is what\n"+
		"a user waits for, and clang's own work is a large part of it.", findAll, readAll)
	b.table(p, []column{
		{"find, ms (÷ tmpfs)", coldFind, onTmpfs}, {"read, ms (÷ tmpfs)", coldRead, onTmpfs},
		{"A, ms (÷ tmpfs)", coldA, onTmpfs}, {"B, ms (÷ tmpfs)", coldB, onTmpfs},
	})

	p.text(`### The second time`)
	p.text("The same once more in the same mount (find and A three times, of which the median counts), and A sixteen times at once.\n" +
		"That such a pass sends `kheadersfs` no request at all but find's STATFS is what `TestWarmPass` holds.")
	b.table(p, []column{
		{"find, ms (÷ tmpfs)", warmFind, onTmpfs}, {"read, ms (÷ tmpfs)", warmRead, onTmpfs},
		{"A, ms (÷ tmpfs)", warmA, onTmpfs}, {"B, ms (÷ tmpfs)", warmB, onTmpfs},
		{"16 × A at once, ms (÷ tmpfs)", sixteenA, onTmpfs},
	})

	if b.wanted("counts") {
		p.text(`### Requests`)
		p.text("How many requests to `kheadersfs` a program in a new mount waits for: the median of %d. It depends on what else runs, but\n"+
			"hardly on the machine. LISTXATTR, READLINK and the like are in \"all\".", few)
		b.counts(p)
	}

	p.text(`### Memory and space`)
	p.text("In MiB. Of the process that serves, where there is one: the most until the mount answers (VmHWM), and what it has\n" +
		"two seconds after everything has been read (VmRSS). Of the kernel: Buffers, Cached, SReclaimable and SUnreclaim in /proc/meminfo\n" +
		"after everything has been read, less the same before mounting with caches dropped; the page cache is in it, and for tar\n" +
		"the tree. The file: archive, image or cache file; of a tree, the blocks that it takes.")
	b.table(p, []column{
		{"peak RSS", peak, ""}, {"RSS after reading", steady, ""}, {"kernel", kernelMiB, ""}, {"file", space, ""},
	})

	if b.wanted("tenfold") {
		p.text(`### A tree ten times as large`)
		p.text("Ten copies of the tree, and one, each packed alike (`xz -1 -T1`; squashfs at level 3 and without looking for copies): the\n"+
			"time for ten, and in brackets the time for one that it is a multiple of. Medians of %d rounds, with caches dropped. A\n"+
			"packed archive of that size cannot be: its index has a limit of 1 MiB. For tar, find and read are of the tree that it has\n"+
			"made on a tmpfs.", tenfoldRounds)
		b.growth(p)
	}

	if b.wanted("kbuild") {
		p.text(`### Building modules`)
		p.text("`make -j2` of a module, with an archive of all that modules are built with, the first time in a new mount, with caches dropped,\n"+
			"and a second time. The small module is one file that includes `linux/module.h`; the large one has five, which include a quarter of\n"+
			"the headers. Caches are dropped for ext4 too, but its image lies on a tmpfs. Medians of %d rounds, and of as many mounts for the\n"+
			"requests that the first build waits for.", few)
		b.builds(p)
	}

	p.text(`### Goals`)
	p.text("Ratios of this run. (Another goal, no request in a warm pass, is `TestWarmPass`.)")
	b.goals(p)

	p.text(`### Not measured`)
	lacks := "All was measured."
	if len(b.res.lacks) > 0 {
		lacks = "- " + strings.Join(b.res.lacks, "\n- ")
	}
	p.text("%s", strings.NewReplacer(b.mem+"/", "", b.dir+"/", "", b.root+"/", "").Replace(lacks))
	return p.err
}

// machine prints the machine and the versions of what was measured.
func (b *bench) machine(p *printer) {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	model := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	kib, _ := field("/proc/meminfo", "MemTotal")
	version, _ := exec.Command(b.program, "--version").Output()
	headers, _ := exec.Command(b.program, "info", b.mem+"/stock.tar.xz").Output()
	var kernel, unpacked string
	for line := range strings.Lines(string(headers)) {
		name, value, _ := strings.Cut(line, " ")
		switch name {
		case "kernel":
			kernel = strings.TrimSpace(value)
		case "unpacked":
			unpacked = strings.TrimSpace(value)
		}
	}
	versions := []string{strings.TrimSpace(string(version)), runtime.Version()}
	for _, name := range []string{"xz-utils", "tar", "clang", "findutils", "mount", "e2fsprogs", "squashfs-tools", "erofs-utils",
		"squashfuse", "erofsfuse", "archivemount", "fuse-archive"} {
		out, err := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version}", name).Output()
		if err == nil && !strings.HasSuffix(string(out), " ") {
			versions = append(versions, string(out))
		}
	}
	p.text("- Linux %s, %d × %s, %d MiB of memory\n- headers of %s: %s\n- %s", strings.TrimSpace(string(release)),
		runtime.NumCPU(), model, kib/1024, kernel, unpacked, strings.Join(versions, ",\n  "))
}

// table prints a line for each subject that has a number in one of the columns.
func (b *bench) table(p *printer, columns []column) {
	lines := [][]string{{""}}
	for _, c := range columns {
		lines[0] = append(lines[0], c.title)
	}
	for _, s := range b.subjects {
		line := []string{s.name}
		some := false
		for _, c := range columns {
			text := b.cell(cell{c.row, s.name}, c.reference)
			line = append(line, text)
			some = some || text != "—"
		}
		if some {
			lines = append(lines, line)
		}
	}
	if len(lines) > 1 {
		p.table(lines)
	}
}

func (b *bench) cell(c cell, reference string) string {
	if b.res.over[c] {
		return errTooLong.Error()
	}
	value, ok := b.res.median(c)
	if !ok {
		return "—"
	}
	ratio, ok := b.res.ratio(c, cell{c.row, reference})
	if !ok || c.subject == reference {
		return number(value)
	}
	return fmt.Sprintf("%s (%.2f)", number(value), ratio)
}

// growth prints how much longer ten copies take than one.
func (b *bench) growth(p *printer) {
	columns := []string{mounting, coldFind, coldRead}
	lines := [][]string{{"", "mount, ms (÷ one)", "find, ms (÷ one)", "read, ms (÷ one)"}}
	for _, name := range []string{stock, cached, untar, squashfsZstd, erofsLz4} {
		line := []string{name}
		for _, c := range columns {
			ten, one := cell{copies(c, 10), name}, cell{copies(c, 1), name}
			text := b.cell(ten, "")
			if growth, ok := b.res.ratio(ten, one); ok {
				text = fmt.Sprintf("%s (%.1f)", text, growth)
			}
			line = append(line, text)
		}
		lines = append(lines, line)
	}
	p.table(lines)
}

func number(v float64) string {
	switch {
	case v < 1:
		return fmt.Sprintf("%.2f", v)
	case v < 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// A printer keeps the first error of writing.
type printer struct {
	w   io.Writer
	err error
}

// text prints a paragraph.
func (p *printer) text(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n\n", args...)
	}
}

// table prints lines, of which the first is the head, in columns that a
// terminal shows one below the other too.
func (p *printer) table(lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, text := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	var out strings.Builder
	for n, line := range lines {
		for i, text := range line {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if i == 0 {
				text += gap
			} else {
				text = gap + text
			}
			fmt.Fprintf(&out, "| %s ", text)
		}
		out.WriteString("|\n")
		if n == 0 {
			for i, width := range widths {
				colon := ":"
				if i == 0 {
					colon = "-"
				}
				fmt.Fprintf(&out, "| %s%s ", strings.Repeat("-", width-1), colon)
			}
			out.WriteString("|\n")
		}
	}
	p.text("%s", strings.TrimSuffix(out.String(), "\n"))
}
