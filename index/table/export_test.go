// SPDX-License-Identifier: Apache-2.0

package table

import "testing"

// What the tests of this package, which can't lie in it, need of its insides.
const (
	HeaderSize = headerSize
	RecordSize = recordSize
	Version    = version
)

// Chain returns a table with the last of the names in directories of the others, within
// the limits or not.
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
