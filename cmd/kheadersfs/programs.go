// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/source"
)

// firstProgram is what kbuild runs whatever it builds.
const firstProgram = "scripts/basic/fixdep"

// maxProgram is the size of a program that is looked into. Those of a kernel have half a
// megabyte at most.
const maxProgram = 16 << 20

// checkBuilds returns an error that says why no modules can be built in a tree that has all
// that they are built with.
func (c *mountConfig) checkBuilds(t *index.Tree) error {
	if c.noExec {
		return errors.New("it is mounted noexec")
	}
	if c.root != "" { // the programs of that system run them
		return nil
	}
	p, err := hostPrograms(t)
	if p == nil || err != nil { // who reads what is damaged gets an error
		return nil
	}
	return checkRuns(p)
}

// hostPrograms says what a machine needs to run the programs that a tree has for building
// modules. They were made for the machine on which the kernel was built. It is nil if there
// are none.
func hostPrograms(t *index.Tree) (*source.Program, error) {
	id, ok := t.Find(firstProgram)
	if !ok || !treeHasKbuild(t) {
		return nil, nil
	}
	all, ok, err := readProgram(t, id)
	if !ok || err != nil {
		return nil, err
	}
	for _, id := range programs(t) {
		p, ok, err := readProgram(t, id)
		if err != nil {
			return nil, err
		}
		if ok && p.Machine == all.Machine && source.CompareVersions(p.Glibc, all.Glibc) > 0 {
			all.Glibc = p.Glibc
		}
	}
	return &all, nil
}

// programs returns the files that can be run in building modules, in the order of their
// bytes, so that no block is decoded twice.
func programs(t *index.Tree) []index.ID {
	var ids []index.ID
	for id := range index.ID(t.Len()) {
		e := t.Entry(id)
		if !e.IsFile() || e.Ino != id || e.Mode&0o111 == 0 || e.Size > maxProgram {
			continue
		}
		if path := t.Path(id); strings.HasPrefix(path, "scripts/") || strings.HasPrefix(path, "tools/") {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b index.ID) int { return cmp.Compare(t.Offset(a), t.Offset(b)) })
	return ids
}

func readProgram(t *index.Tree, id index.ID) (p source.Program, ok bool, err error) {
	b := make([]byte, min(t.Entry(id).Size, maxProgram))
	if n, err := t.ReadAt(id, b, 0); n < len(b) {
		return p, false, fmt.Errorf("%s: %w", t.Path(id), err)
	}
	p, ok = source.ParseProgram(b)
	return p, ok, nil
}

// checkRuns returns an error that says why this machine can't run a program.
func checkRuns(p *source.Program) error {
	if p.Interpreter == "" {
		return nil // nothing shows which processors the kernel runs programs for
	}
	linker, err := filepath.EvalSymlinks(p.Interpreter)
	if err != nil {
		return fmt.Errorf("its programs are for %s, and need %s", p.Machine, p.Interpreter)
	}
	// The C library lies beside its dynamic linker.
	libc, err := os.ReadFile(filepath.Join(filepath.Dir(linker), "libc.so.6"))
	if err == nil && !source.HasGlibc(libc, p.Glibc) {
		return fmt.Errorf("its programs need glibc %s", p.Glibc)
	}
	return nil
}
