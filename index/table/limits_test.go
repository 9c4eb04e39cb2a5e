// SPDX-License-Identifier: Apache-2.0

package table

import (
	"fmt"
	"strings"
	"testing"
)

// Names and targets within their own limits exceed the limit of all together.
func TestManyStrings(t *testing.T) {
	b := NewBuilder()
	target := strings.Repeat("x", MaxTarget)
	var err error
	n := 0
	for ; err == nil && n < MaxEntries; n++ {
		err = b.add(fmt.Sprint(n), &inode{kind: kindLink, target: target})
	}
	if err == nil || !strings.Contains(err.Error(), "names and link targets exceed 16 MiB") || n > MaxStrings/MaxTarget+1 {
		t.Errorf("after %d links: %v", n, err)
	}
}

func TestEntryLimit(t *testing.T) {
	b := NewBuilder()
	empty := &inode{kind: kindFile}
	for i := range MaxEntries - 2 { // the top directory is an entry, too
		if err := b.add(fmt.Sprint(i), empty); err != nil {
			t.Fatal(err)
		}
	}
	const want = "more than 262144 entries"
	if err := b.add("d/f", empty); err == nil || err.Error() != want { // the directory is the last one
		t.Errorf("got %v, want %s", err, want)
	}
	if err := b.add("0", &inode{kind: kindDir}); err != nil {
		t.Fatal(err)
	}
	if err := b.link("h", "1"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if tab := b.Table(); tab.Len() != MaxEntries {
		t.Errorf("%d entries", tab.Len())
	}
}
