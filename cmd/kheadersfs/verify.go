// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/kheadersfs/kheadersfs/index"
)

const verifyHelp = `An archive without a fault gives the line "PATH: OK". Of a damaged one the first
fault is printed to standard error, and these lines to standard output:
  xz block N of M: FAULT       a damaged block; of a cache file, a zstd frame
  damaged: NAME                a file with bytes in a damaged block
  damaged: all else in N bytes that can't be decoded
                               files there, whose names are unknown
`

func defineVerify(flags *pflag.FlagSet) func(*call) error {
	var l lookup
	l.define(flags)
	return func(c *call) error {
		a, err := openArchive(c.operands[0], l)
		if err != nil {
			return err
		}
		err = index.Verify(a, a.Size())
		if err == nil {
			_, err = fmt.Fprintf(c.stdout, "%s: OK\n", a.Path)
			return err
		}
		fmt.Fprintf(c.stderr, "kheadersfs: %s: %v\n", a.Path, err)
		var damage *index.DamageError
		if errors.As(err, &damage) {
			for _, line := range damage.Lines() {
				fmt.Fprintln(c.stdout, line)
			}
		}
		return exitStatus(1)
	}
}
