// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const testRelease = "1.2.3-test"

// linkIn returns a link in a directory of modules of its own, to a directory with headers,
// which stands for a mount.
func linkIn(t *testing.T) *buildLink {
	dir := t.TempDir()
	l := &buildLink{modules: filepath.Join(dir, "modules"), release: testRelease, dir: filepath.Join(dir, "mnt")}
	mkdir(t, filepath.Dir(l.path()))
	mkdir(t, filepath.Join(l.dir, "include"))
	return l
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// inModules returns what is in the directory of the link: names, and the targets of links.
func (l *buildLink) inModules(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(l.path()))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(filepath.Dir(l.path()), e.Name()))
		list = append(list, e.Name()+" "+target)
	}
	return strings.Join(list, ", ")
}

// TestLink makes the link where something is already, twice, and removes it.
func TestLink(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(t *testing.T, l *buildLink)
		err    string // of making
	}{
		{"nothing", func(*testing.T, *buildLink) {}, ""},
		{"dangling", func(t *testing.T, l *buildLink) { symlink(t, "/nonexistent/headers", l.path()) }, ""},
		{"headers", func(t *testing.T, l *buildLink) { symlink(t, t.TempDir(), l.path()) }, "there is one to "},
		{"directory", func(t *testing.T, l *buildLink) { mkdir(t, l.path()) }, "there is something else"},
		{"other mount", func(t *testing.T, l *buildLink) { symlink(t, "../../mnt/include/../include/..", l.path()) }, "there is one to "},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := linkIn(t)
			test.before(t, l)
			before := l.inModules(t)
			for range 2 {
				err := l.make()
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(hintOf(err), "kheadersfs env") {
						t.Errorf("%v, hint: %s", err, hintOf(err))
					}
				} else if target, _ := os.Readlink(l.path()); err != nil || target != l.dir+"/include/.." {
					t.Fatalf("%v, %s", err, target)
				}
			}
			if err := l.remove(nil); (err == nil) != (test.err == "") {
				t.Errorf("removing: %v", err)
			}
			if after := l.inModules(t); after != before {
				t.Errorf("%q, and before %q", after, before)
			}
		})
	}
}

// TestLinkDangles when nothing is mounted, though the mount point is still there.
func TestLinkDangles(t *testing.T) {
	l := linkIn(t)
	if err := l.make(); err != nil {
		t.Fatal(err)
	}
	if err := l.remove(l.dangles); err != nil || l.inModules(t) != "build "+l.dir+"/include/.." {
		t.Errorf("%v, removed while it leads to headers", err)
	}
	if err := os.Remove(filepath.Join(l.dir, "include")); err != nil {
		t.Fatal(err)
	}
	if err := l.remove(l.dangles); err != nil || l.inModules(t) != "" {
		t.Errorf("%v, left: %s", err, l.inModules(t))
	}
}

// TestLinkAfterCrash: what a mount that was killed has left is replaced, and is not taken for
// what was there before.
func TestLinkAfterCrash(t *testing.T) {
	l := linkIn(t)
	symlink(t, "/nonexistent/headers", l.path())
	killed := *l
	killed.dir += "-old"
	mkdir(t, filepath.Join(killed.dir, "include"))
	if err := killed.make(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(killed.dir, "include")); err != nil {
		t.Fatal(err)
	}
	if err := l.make(); err != nil {
		t.Fatal(err)
	}
	var notOurs notOursError
	if err := killed.remove(nil); !errors.As(err, &notOurs) {
		t.Errorf("another's link is removed: %v", err)
	}
	if err := (&buildLink{modules: l.modules, release: testRelease}).remove(nil); err != nil { // of any mount
		t.Error(err)
	}
	if left := l.inModules(t); left != "build /nonexistent/headers" {
		t.Errorf("left: %s", left)
	}
}

// TestLinkElsewhere doesn't follow a link to the modules of another kernel, and makes no
// directory.
func TestLinkElsewhere(t *testing.T) {
	l := linkIn(t)
	symlink(t, testRelease, filepath.Join(l.modules, "4.5.6"))
	for _, r := range []string{"4.5.6", "7.8.9"} {
		other := *l
		other.release = r
		if err := other.make(); err == nil {
			t.Errorf("%s: made", r)
		}
	}
	if got := l.inModules(t); got != "" {
		t.Errorf("made: %s", got)
	}
}

// TestModulesToBuild lists what DKMS may build, and watches it come.
func TestModulesToBuild(t *testing.T) {
	root := t.TempDir()
	dir := func(path string) string { return filepath.Join(root, path) }
	mnt := dir("usr/src/mnt-1")
	want := func(names ...string) {
		t.Helper()
		if got := modulesToBuild(root, testRelease, mnt); !slices.Equal(got, names) {
			t.Errorf("%q instead of %q", got, names)
		}
	}
	want()
	mkdir(t, mnt)
	mkdir(t, dir("usr/src/linux-headers-1/include"))
	mkdir(t, dir("var/lib/dkms/binary-only/1.0"))
	symlink(t, "/nonexistent", filepath.Join(mnt, "dkms.conf"))
	mkdir(t, dir("usr/src/kheadersfs-0.1"))
	symlink(t, "/nonexistent", dir("usr/src/kheadersfs-0.1/dkms.conf"))
	want()

	watch, err := newDKMSWatch()
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan []string)
	go func() {
		names, err := waitForDKMS(watch, root, testRelease, mnt)
		if err != nil {
			t.Error(err)
		}
		found <- names
	}()
	mkdir(t, dir("var/lib/dkms/kheadersfs/0.1"))
	mkdir(t, dir("var/lib/dkms/kheadersfs/0.1/"+testRelease))
	symlink(t, "/usr/src/kheadersfs-0.1", dir("var/lib/dkms/kheadersfs/0.1/source"))
	want() // it is built
	mkdir(t, dir("usr/src/acpi-call-1.2.2"))
	symlink(t, "/nonexistent", dir("usr/src/acpi-call-1.2.2/dkms.conf"))
	if got := <-found; !slices.Equal(got, []string{"acpi-call"}) {
		t.Errorf("watching: %q", got)
	}
	mkdir(t, dir("var/lib/dkms/acpi-call/1.2.2"))
	symlink(t, "/usr/src/acpi-call-1.2.2", dir("var/lib/dkms/acpi-call/1.2.2/source"))
	mkdir(t, dir("var/lib/dkms/zfs/2.1"))
	symlink(t, "/usr/src/zfs-2.1", dir("var/lib/dkms/zfs/2.1/source"))
	want("acpi-call", "zfs")
	if err := os.Remove(dir("var/lib/dkms/kheadersfs/0.1/" + testRelease)); err != nil {
		t.Fatal(err)
	}
	want("acpi-call", "kheadersfs", "zfs")

	// A watch ends when it is closed.
	idle, err := newDKMSWatch()
	if err != nil {
		t.Fatal(err)
	}
	none, ended := t.TempDir(), make(chan error)
	go func() {
		_, err := waitForDKMS(idle, none, testRelease, "")
		ended <- err
	}()
	idle.Close()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
