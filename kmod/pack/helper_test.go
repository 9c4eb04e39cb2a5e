// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/tests/need"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var then = time.Unix(1_700_000_000, 0)

// A layout describes a directory: paths, with a slash at the end for directories, and
// the contents of files. A text that begins with -> is the target of a symbolic link.
// DIR stands for the directory itself.
type layout map[string]string

// make makes the directory.
func (l layout) make(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "top")
	must(t, os.Mkdir(dir, 0o755))
	for _, name := range slices.Sorted(maps.Keys(l)) {
		path, text := filepath.Join(dir, name), strings.ReplaceAll(l[name], "DIR", dir)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := strings.CutPrefix(text, "->"); ok {
			must(t, os.Symlink(target, path))
			continue
		}
		must(t, os.WriteFile(path, []byte(text), 0o644))
		must(t, os.Chtimes(path, then, then))
	}
	return dir
}

// packed packs a tree.
func packed(t testing.TB, from string, o Options) []byte {
	t.Helper()
	need.Command(t, "xz")
	var b bytes.Buffer
	must(t, Pack(t.Context(), &b, from, o))
	return b.Bytes()
}

// packError returns what packing a tree fails with.
func packError(t testing.TB, from string, o Options) error {
	t.Helper()
	err := Pack(t.Context(), io.Discard, from, o)
	if err == nil {
		t.Fatal("no error")
	}
	return err
}

// open opens a packed archive by its index, which must tell what its tar holds.
func open(t testing.TB, archive []byte) *index.Tree {
	t.Helper()
	f, err := index.Parse(bytes.NewReader(archive), int64(len(archive)))
	must(t, err)
	if f.Tree() == nil {
		t.Fatal("the archive has no index")
	}
	tree := f.Tree()
	must(t, index.Verify(bytes.NewReader(archive), int64(len(archive))))
	return tree
}

// contents returns the files and links of a tree, as a layout.
func contents(t testing.TB, tree *index.Tree) layout {
	t.Helper()
	all := layout{}
	for id := range index.ID(tree.Len()) {
		e := tree.Entry(id)
		switch {
		case e.IsDir():
		case e.IsLink():
			all[tree.Path(id)] = "->" + tree.Target(id)
		default:
			b := make([]byte, e.Size)
			if _, err := tree.ReadAt(id, b, 0); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			all[tree.Path(id)] = string(b)
		}
	}
	return all
}

func compare(t testing.TB, got, want layout) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[name]; !ok {
			t.Errorf("%s does not exist", name)
		} else if g != want[name] {
			t.Errorf("%s is %.60q, want %.60q", name, g, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not exist", name)
		}
	}
}

// unpack runs a command with data as its input, and returns its output.
func unpack(t testing.TB, data []byte, name string, args ...string) []byte {
	t.Helper()
	need.Command(t, name)
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(data)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s %q: %v: %s", name, args, err, &stderr)
	}
	return out
}

// A place is where a member of a tar lies: its headers, and its data.
type place struct {
	header         *tar.Header
	start, at, end int64
}

// places returns all members of a tar, in their order.
func places(t testing.TB, tarBytes []byte) (all []place) {
	t.Helper()
	r := bytes.NewReader(tarBytes)
	at := func() int64 { return int64(len(tarBytes) - r.Len()) }
	members := tar.NewReader(r)
	for {
		start := (at() + 511) &^ 511
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		p := place{h, start, at(), at() + h.Size}
		if h.Typeflag == tar.TypeXGlobalHeader {
			p.end = p.at
		}
		all = append(all, p)
		_, err = io.Copy(io.Discard, members)
		must(t, err)
	}
}
