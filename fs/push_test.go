// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// TestPushed reads one file, and sees that the others are pushed whole: not the one that was
// read nor those that may be read next, and each page once and as the kernel takes it.
func TestPushed(t *testing.T) {
	const types = "include/linux/types.h"
	members := []tartest.Member{tartest.File("include/linux/kconfig.h", ""), tartest.File(types, "\n")}
	want := map[string]string{}
	for i := range 30 { // several batches, one file of more than one
		name, text := fmt.Sprintf("include/many/%02d.h", i), fmt.Sprintf("%0*d", 5000+200*i, i)
		if i == 20 {
			text = fmt.Sprintf("%0*d", maxRead+maxRead/2, i)
		}
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
	p.read(id)
	got := map[string]string{}
	for last := "include/many/29.h"; len(got[last]) < len(want[last]); {
		s := <-stores
		if s.off != int64(len(got[s.name])) || s.off%4096 != 0 {
			t.Errorf("%s: pushed at %d after %d bytes", s.name, s.off, len(got[s.name]))
		}
		got[s.name] += s.data
		if n := len(got[s.name]); n%4096 != 0 && n != len(want[s.name]) {
			t.Errorf("%s: the push ends at %d of %d bytes", s.name, n, len(want[s.name]))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s was pushed", name)
		}
	}
	for i := range 30 {
		name := fmt.Sprintf("include/many/%02d.h", i)
		if i < gap {
			want[name] = ""
		}
		if got[name] != want[name] {
			t.Errorf("%s: %d bytes were pushed", name, len(got[name]))
		}
	}
}
