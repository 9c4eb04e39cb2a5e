// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// TestPushed reads one file, and sees that the others are pushed whole: not the one that was
// read, those that may be read next nor the milestones, and each page once and as the kernel
// takes it.
func TestPushed(t *testing.T) {
	const types = "include/linux/types.h"
	members := []tartest.Member{tartest.File("include/linux/kconfig.h", ""), tartest.File(types, "\n")}
	want := map[string]string{}
	// One window: what is left to the reader, and more batches than one.
	for i := range gap + 40 {
		size := 100
		switch {
		case i == gap+20:
			size = maxRead + maxRead/2
		case i > gap:
			size = 2000 + 10*i
		}
		name, text := fmt.Sprintf("include/many/%03d.h", i), fmt.Sprintf("%0*d", size, i)
		members, want[name] = append(members, tartest.File(name, text)), text
	}
	archive := tartest.XZ(t, tartest.Tar(t, members...), 0)
	tree, err := index.Open(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	type stored struct {
		name string
		off  int64
		data string
	}
	stores := make(chan stored)
	p := newPusher(tree)
	p.store = func(node uint64, off int64, data []byte) fuse.Status {
		stores <- stored{tree.Path(index.ID(node - 1)), off, string(data)}
		return fuse.OK
	}
	p.assume()
	id, _ := tree.Find(types)
	last := ""
	for name := range want {
		switch n, _ := tree.Find(name); {
		case n <= id+gap || n%milestone == 0:
			delete(want, name)
		case name > last:
			last = name
		}
	}
	p.read(id)
	got := map[string]string{}
	for len(got[last]) < len(want[last]) {
		s := <-stores
		if s.off != int64(len(got[s.name])) || s.off%4096 != 0 {
			t.Errorf("%s: pushed at %d after %d bytes", s.name, s.off, len(got[s.name]))
		}
		got[s.name] += s.data
		if n := len(got[s.name]); n%4096 != 0 && n != len(want[s.name]) {
			t.Errorf("%s: the push ends at %d of %d bytes", s.name, n, len(want[s.name]))
		}
	}
	if !maps.Equal(got, want) {
		for _, name := range slices.Sorted(maps.Keys(want)) {
			t.Errorf("%s: %d bytes were pushed of %d", name, len(got[name]), len(want[name]))
		}
		t.Fatalf("%d files were pushed of %d", len(got), len(want))
	}
}
