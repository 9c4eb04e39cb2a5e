// SPDX-License-Identifier: Apache-2.0

package table

import "testing"

// Internals for the tests in package table_test.
const (
	HeaderSize = headerSize
	RecordSize = recordSize
	Version    = version
)

// Chain returns a table with one file, the last name, in nested directories of the
// other names. It does not check limits.
func Chain(t testing.TB, names ...string) *Table {
	t.Helper()
	b := NewBuilder()
	dir := b.root
	for i, name := range names {
		in := &inode{kind: kindDir}
		if i == len(names)-1 {
			in.kind = kindFile
		}
		if err := b.insert(dir, name, in); err != nil {
			t.Fatal(err)
		}
		dir = dir.children[name]
	}
	return b.Table()
}
