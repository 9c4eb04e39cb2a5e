// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/kheadersfs/kheadersfs/index"
)

const lsHelp = `Prints the paths below PATH, or all, each on a line; that of a directory ends
in a slash. With -l a line is: mode, bytes, time of change in UTC, path, and
the target of a symbolic link. A link is listed as a link. Links in front of
the last name of PATH are followed, inside the archive.

A single operand is SOURCE if it is auto, none or kheaders, if it begins with
/, ./ or ../, or if a file has that name; otherwise it is PATH.
`

func defineLs(flags *pflag.FlagSet) func(*call) error {
	var l lookup
	long := flags.BoolP("long", "l", false, "print mode, size, time and link target too")
	l.define(flags)
	return func(c *call) error {
		src, path := c.operands[0], c.operands[1]
		if path == "" && !looksLikeSource(src) {
			src, path = "", src
		}
		a, t, err := load(src, l)
		if err != nil {
			return err
		}
		id, err := find(t, path, false)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", a.Path, path, err)
		}
		w := bufio.NewWriter(c.stdout)
		lister{t, w, *long, isTerminal(c.stdout)}.list(id)
		return w.Flush()
	}
}

func looksLikeSource(operand string) bool {
	if isFind(operand) || strings.HasPrefix(operand, "/") || strings.HasPrefix(operand, "./") || strings.HasPrefix(operand, "../") {
		return true
	}
	st, err := os.Stat(operand)
	return err == nil && !st.IsDir()
}

// find returns the entry at a path of the archive. Links on the way to its last
// name are followed, inside the archive, and that name too if follow is set.
func find(t *index.Tree, path string, follow bool) (index.ID, error) {
	at, names, links := index.Root, strings.Split(path, "/"), 0
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		e := t.Entry(at)
		switch {
		case !e.IsDir():
			return 0, syscall.ENOTDIR
		case name == "" || name == ".":
			continue
		case name == ".." && at == index.Root:
			return 0, errors.New("it leads out of the archive")
		case name == "..":
			at = e.Parent
			continue
		}
		id, ok := t.Lookup(at, name)
		if !ok {
			return 0, syscall.ENOENT
		}
		target := t.Target(id)
		if target == "" || len(names) == 0 && !follow {
			at = id
			continue
		}
		if links++; links > 40 {
			return 0, syscall.ELOOP
		}
		if target[0] == '/' {
			return 0, fmt.Errorf("it leads out of the archive, to %s", target)
		}
		names = append(strings.Split(target, "/"), names...)
	}
	return at, nil
}

// A lister prints lines for entries, whose errors w keeps.
type lister struct {
	t     *index.Tree
	w     io.Writer
	long  bool
	quote bool
}

// list prints an entry, unless it is the root, and all below it.
func (l lister) list(id index.ID) {
	if id != index.Root {
		l.line(id)
	}
	first, n := l.t.Children(id)
	for i := range index.ID(n) {
		l.list(first + i)
	}
}

func (l lister) line(id index.ID) {
	e := l.t.Entry(id)
	path, target := l.t.Path(id), l.t.Target(id)
	if e.IsDir() {
		path += "/"
	}
	if l.quote {
		path, target = quote(path), quote(target)
	}
	if l.long {
		kind := "-"
		switch {
		case e.IsDir():
			kind = "d"
		case e.IsLink():
			kind = "l"
		}
		fmt.Fprintf(l.w, "%s%s %8d %s ", kind, fs.FileMode(e.Mode & 0o777).String()[1:], e.Size,
			time.Unix(e.Sec, 0).UTC().Format(time.DateTime))
		if e.IsLink() {
			path += " -> " + target
		}
	}
	fmt.Fprintln(l.w, path)
}
