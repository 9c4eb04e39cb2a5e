// SPDX-License-Identifier: Apache-2.0

// Command bench measures kheadersfs beside other ways to have the same headers
// as files, with real mounts and real programs, and prints tables in Markdown.
// It needs root and the root of the repository as its working directory;
// tests/bench.sh calls it.
//
// The subjects are measured in turn, in rounds, so that other load on the machine
// affects all of them. Ratios are taken within a round.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A bench is one run of everything.
type bench struct {
	ctx        context.Context
	root       string // of the repository
	program    string // kheadersfs
	dir        string // scratch
	mem        string // a tmpfs in it
	tree       string // the headers, on that tmpfs
	kbuildTree string // all that modules are built with, there
	subjects   []*subject
	res        *results
	only       []string
	onlyRows   []string
	rounds     int
	startedAt  time.Time
}

func main() {
	rounds := flag.Int("rounds", 7, "rounds, of which the first doesn't count")
	only := flag.String("only", "", "subjects to measure, as begin of their names, with commas between")
	onlyRows := flag.String("rows", "", "rows to measure: mount,four,first,find,read,a,b,memory,verify,counts,tenfold,kbuild")
	flag.Parse()
	if args := flag.Args(); len(args) == 4 && args[0] == "mount" {
		mountFile(args[1], args[2], args[3])
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	b := &bench{ctx: ctx, res: newResults(), rounds: *rounds, startedAt: time.Now()}
	if *rounds < 2 {
		fmt.Fprintln(os.Stderr, "bench: -rounds: needs two, of which one counts")
		os.Exit(2)
	}
	b.only = strings.FieldsFunc(*only, func(r rune) bool { return r == ',' })
	b.onlyRows = strings.FieldsFunc(*onlyRows, func(r rune) bool { return r == ',' })
	if err := b.all(); err != nil {
		if ctx.Err() != nil {
			err = errors.New("stopped by a signal")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// all measures everything and prints it. It removes all that it made, also after an
// error.
func (b *bench) all() (err error) {
	if os.Geteuid() != 0 {
		return errors.New("needs root, to mount")
	}
	if b.root, err = os.Getwd(); err != nil {
		return err
	}
	b.program = filepath.Join(b.root, "bin/kheadersfs")
	if b.dir, err = newScratch(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeScratch(b.dir)) }()
	b.mem = filepath.Join(b.dir, "mem")

	archive, err := b.prepare()
	if err != nil {
		return err
	}
	if err := b.measure(archive); err != nil {
		return err
	}
	if err := b.count(); err != nil {
		return err
	}
	if b.wanted("tenfold") {
		err := b.tenfold()
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		if err != nil {
			b.res.lack("a tree ten times as large", err)
		}
	}
	if b.wanted("kbuild") {
		err := b.kbuild()
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		if err != nil {
			b.res.lack("building modules", err)
		}
	}
	b.progress("done")
	return b.report(os.Stdout)
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(b.startedAt).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) wanted(row string) bool {
	return len(b.onlyRows) == 0 || slices.Contains(b.onlyRows, row)
}

// measure measures all subjects in all rows.
func (b *bench) measure(archive string) error {
	for _, r := range rows() {
		if err := b.row(r, b.subjects, b.rounds); err != nil {
			return err
		}
	}
	return b.row(row{"verify", nil, pass.decode}, []*subject{
		{name: verifying, command: []string{b.program, "verify", archive}},
		{name: xzTest, command: []string{"xz", "-T1", "-t", archive}},
	}, b.rounds)
}

// row measures the subjects in turn. One that fails or takes too long is left out for
// the rest of the row. Each round begins with another subject, so that none always
// follows the same one.
func (b *bench) row(r row, all []*subject, rounds int) error {
	if !b.wanted(r.name) {
		return nil
	}
	var in []*subject
	for _, s := range all {
		if r.does == nil || r.does(s) {
			in = append(in, s)
		}
	}
	for round := range rounds {
		b.progress("%s, round %d of %d, %d subjects", r.name, round+1, rounds, len(in))
		next := slices.Clone(in)
		for i := range in {
			s := in[(i+round)%len(in)]
			err := r.do(pass{b, s, round})
			if b.ctx.Err() != nil {
				return b.ctx.Err()
			}
			if err != nil {
				b.res.lack(s.name+", "+r.name, err)
				next = slices.DeleteFunc(next, func(o *subject) bool { return o == s })
			}
		}
		in = next
	}
	return nil
}
