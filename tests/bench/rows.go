// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// What is measured, as goals and tables call it.
const (
	mounting, firstByte = "mount", "first byte"
	fourMounts          = "four mounts at once"
	mountAndA           = "mount and A"
	coldFind, warmFind  = "cold find", "warm find"
	coldRead, warmRead  = "cold read", "warm read"
	coldA, warmA        = "cold A", "warm A"
	coldB, warmB        = "cold B", "warm B"
	sixteenA            = "sixteen A at once"
	decoding            = "verify"
	peak, steady        = "peak RSS", "steady RSS" // MiB, as what follows
	kernelMiB, space    = "kernel memory", "space"
)

// What is run in a tree. -ls needs the attributes of each name.
const (
	findAll = "find . -ls >/dev/null"
	readAll = "find . -type f -print0 | xargs -0 cat >/dev/null"
)

// few is how many rounds count of what takes long.
const few = 3

// errNoted is returned for what the tables show by themselves.
var errNoted = errors.New("noted")

// A pass is one subject in one round.
type pass struct {
	*bench
	s     *subject
	round int // 0 doesn't count
}

// A row is an action that a subject takes once a round; it may fill more than
// one column.
type row struct {
	name string
	does func(*subject) bool // nil: all that have files
	do   func(p pass) error
}

func rows() []row {
	mounts := func(s *subject) bool { return s.tree == "" }
	return []row{
		{"mount", mounts, pass.mountOnce},
		{"four", mounts, pass.mountFour},
		{"find", lasting, func(p pass) error { return p.coldAndWarm(findAll, coldFind, warmFind, 3) }},
		{"read", lasting, func(p pass) error { return p.coldAndWarm(readAll, coldRead, warmRead, 1) }},
		{"a", lasting, func(p pass) error { return p.coldAndWarm(p.compile("a"), coldA, warmA, 3, sixteenA) }},
		{"b", lasting, func(p pass) error {
			if p.round > few {
				return nil
			}
			if err := p.promising(coldA); err != nil {
				return p.note(coldB, 0, err)
			}
			return p.coldAndWarm(p.compile("b"), coldB, warmB, 1)
		}},
		{"first", func(s *subject) bool { return mounts(s) && !s.noFiles }, pass.mountAndCompile},
		{"memory", func(s *subject) bool { return mounts(s) && !s.noFiles }, pass.memory},
	}
}

// lasting marks a subject that is the same before and after unmounting: what tar has
// unpacked is the tree on the tmpfs.
func lasting(s *subject) bool { return !s.plain && !s.noFiles }

// note records a time, or that it took too long.
func (p pass) note(column string, took time.Duration, err error) error {
	c := cell{column, p.s.name}
	switch {
	case errors.Is(err, errTooLong):
		p.res.over[c] = true
		return errNoted
	case err == nil && p.round > 0:
		p.res.add(c, p.round, float64(took.Microseconds())/1000)
	}
	return err
}

func (p pass) mountOnce() error {
	return p.with(p.s, func(dir string, took time.Duration) error {
		if err := p.note(mounting, took, nil); err != nil || p.s.noFiles {
			return err
		}
		start := time.Now()
		f, err := os.Open(filepath.Join(dir, p.s.header))
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.ReadFull(f, make([]byte, 1))
		return p.note(firstByte, time.Since(start), err)
	})
}

func (p pass) mountFour() (err error) {
	var dirs [4]string
	for i := range dirs {
		if dirs[i], err = p.place(p.s); err != nil {
			return err
		}
	}
	took, err := atOnce(len(dirs), func(i int) error {
		_, err := p.mountAt(p.s, dirs[i])
		return err
	})
	err = p.note(fourMounts, took, err)
	for _, dir := range dirs {
		if undo := p.gone(p.s, dir); err == nil {
			err = undo
		}
	}
	return err
}

// promising reports whether a smaller measurement did not take too long already.
func (p pass) promising(less string) error {
	if p.res.over[cell{less, p.s.name}] {
		return errTooLong
	}
	return nil
}

func (p pass) mountAndCompile() error {
	if err := p.promising(coldA); err != nil {
		return p.note(mountAndA, 0, err)
	}
	if err := p.warmPrograms(); err != nil {
		return err
	}
	return p.with(p.s, func(dir string, mount time.Duration) error {
		took, err := p.timed(dir, "sh", "-c", p.compile("a"))
		return p.note(mountAndA, mount+took, err)
	})
}

// coldAndWarm runs a script in a mount that nothing has been read from, then
// as often as the flags say, of which the median counts, and then sixteen times at
// once, if there is a column for it.
func (p pass) coldAndWarm(script, cold, warm string, again int, sixteen ...string) error {
	if err := dropCaches(); err != nil {
		return err
	}
	if err := p.warmPrograms(); err != nil {
		return err
	}
	return p.with(p.s, func(dir string, _ time.Duration) error {
		took, err := p.timed(dir, "sh", "-c", script)
		if err := p.note(cold, took, err); err != nil {
			return err
		}
		var passes []time.Duration
		for range again {
			took, err := p.timed(dir, "sh", "-c", script)
			if err != nil {
				return p.note(warm, 0, err)
			}
			passes = append(passes, took)
		}
		slices.Sort(passes)
		if err := p.note(warm, passes[again/2], nil); err != nil || p.round == 0 || p.round > few {
			return err
		}
		for _, column := range sixteen {
			took, err := atOnce(16, func(int) error {
				_, err := p.timed(dir, "sh", "-c", script)
				return err
			})
			if err := p.note(column, took, err); err != nil {
				return err
			}
		}
		return nil
	})
}

// compile returns the script that compiles a program against the tree that it
// is started in.
func (b *bench) compile(program string) string {
	return fmt.Sprintf("exec '%s' . '%s.c' /dev/null", filepath.Join(b.root, "tests/compile.sh"), filepath.Join(b.mem, program))
}

// warmPrograms runs what is going to be timed on the tree on tmpfs, and on
// nothing that is timed, so that no program is read from a disk later.
func (b *bench) warmPrograms() error {
	for _, script := range []string{b.compile("nothing"), "cd include/uapi/asm-generic && " + findAll, "cd include/uapi/asm-generic && " + readAll} {
		if _, err := b.timed(b.tree, "sh", "-c", script); err != nil {
			return err
		}
	}
	return nil
}

func dropCaches() error {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0)
}

// The two ways to look at every checksum of an archive.
const verifying, xzTest = "kheadersfs verify", "xz -T1 -t"

func (p pass) decode() error {
	took, err := p.timed("", p.s.command...)
	return p.note(decoding, took, err)
}

// programs are what tracing programs include, little and much, as in
// tests/pack_test.go; nothing is to warm the compiler.
var programs = map[string]string{
	"a":       "#include <linux/types.h>\n#include <linux/sched.h>\n",
	"b":       "#include <linux/fs.h>\n#include <net/sock.h>\n#include <linux/blkdev.h>\n",
	"nothing": "int nothing;\n",
}
