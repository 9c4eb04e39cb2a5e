// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"syscall"

	"github.com/spf13/pflag"
)

const catHelp = `PATH is a path as ls prints it. Symbolic links are followed inside the
archive.
`

func defineCat(flags *pflag.FlagSet) func(*call) error {
	var l lookup
	l.define(flags)
	return func(c *call) error {
		path := c.operands[1]
		a, t, err := load(c.operands[0], l)
		if err != nil {
			return err
		}
		id, err := find(t, path, true)
		if e := t.Entry(id); err == nil && e.IsDir() {
			err = syscall.EISDIR
		}
		if err == nil {
			err = writeFile(c.stdout, t, id, make([]byte, 1<<16))
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", a.Path, path, err)
		}
		return nil
	}
}
