// SPDX-License-Identifier: Apache-2.0

package index

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/blocks"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

var sizes = []int{0, 1, 511, 512, blocks.MemoryBlock - 1, blocks.MemoryBlock, blocks.MemoryBlock + 1, 2 * blocks.MemoryBlock, 3*blocks.MemoryBlock + 7, 5000, 0, 100}

// sizedTree returns a tree with two files of each of the sizes.
func sizedTree(t testing.TB) (tree *Tree, data map[string]string) {
	t.Helper()
	data = map[string]string{}
	var members []tartest.Member
	for i, n := range append(sizes, sizes...) {
		name := fmt.Sprintf("d%d/%d", i%3, i)
		data[name] = tartest.Text(uint64(i), n)
		members = append(members, tartest.File(name, data[name]))
	}
	tree, err := treeOf(tartest.Tar(t, members...))
	must(t, err)
	return tree, data
}

func TestReadAt(t *testing.T) {
	tree, data := sizedTree(t)
	checkTree(t, tree)
	for name, want := range data {
		id, ok := tree.Find(name)
		if !ok {
			t.Fatalf("%s does not exist", name)
		}
		if string(read(t, tree, id)) != want {
			t.Errorf("%s, %d bytes: other bytes than were packed", name, len(want))
		}
	}
}

// A file can be read through an io.SectionReader, the usual user of an io.ReaderAt.
func TestReadAtIsReaderAt(t *testing.T) {
	tree, data := sizedTree(t)
	for name, want := range data {
		id, _ := tree.Find(name)
		got, err := io.ReadAll(io.NewSectionReader(fileReader{tree, id}, 0, 1<<40))
		if err != nil || string(got) != want {
			t.Errorf("%s: %d of %d bytes: %v", name, len(got), len(want), err)
		}
	}
}

// Release returns an error if the release can't be read, not an empty release.
func TestReleaseDamaged(t *testing.T) {
	b := written(t, memoryTree(t, tartest.File("./include/generated/utsrelease.h", "#define UTS_RELEASE \"6.1\"\n"+tartest.Text(1, 5000))))
	b[1000] ^= 1 // in the only frame
	tree, err := openBytes(b)
	must(t, err)
	var damage *BlockError
	if got, err := tree.Release(); got != "" || !errors.As(err, &damage) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRelease(t *testing.T) {
	const name = "./include/generated/utsrelease.h"
	for _, test := range []struct{ data, want string }{
		{"#define UTS_RELEASE \"6.1.0-13-amd64\"\n", "6.1.0-13-amd64"},
		{"/* x */\n#define UTS_RELEASE \"6.12\"\n#define UTS_RELEASE \"6.13\"", "6.12"},
		{"#define UTS_RELEASE \"6.12\n", ""},
		{"#define UTS_VERSION \"6.12\"\n", ""},
		{strings.Repeat("\n", 5000) + "#define UTS_RELEASE \"6.12\"\n", ""}, // too far behind
		{"", ""},
	} {
		tree, err := treeOf(tartest.Tar(t, tartest.File(name, test.data)))
		must(t, err)
		if got, err := tree.Release(); got != test.want || err != nil {
			t.Errorf("%.40q: %q, want %q", test.data, got, test.want)
		}
	}
	for _, members := range [][]tartest.Member{nil, {tartest.Dir(name)}, {tartest.Symlink(name, "x")}} {
		tree, err := treeOf(tartest.Tar(t, members...))
		must(t, err)
		if got, err := tree.Release(); got != "" || err != nil {
			t.Errorf("%q", got)
		}
	}
}
