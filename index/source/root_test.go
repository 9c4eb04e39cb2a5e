// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// links makes symbolic links below root, each given as "name -> target".
func links(t *testing.T, root string, all ...string) {
	t.Helper()
	for _, link := range all {
		name, target, _ := strings.Cut(link, " -> ")
		must(t, os.MkdirAll(filepath.Dir(root+name), 0o755))
		must(t, os.Symlink(target, root+name))
	}
}

// Links are resolved in the tree that is searched, and Path is the file that
// was read.
func TestFindInLinks(t *testing.T) {
	for _, test := range []struct {
		name, file string
		links      []string
	}{
		{"usrmerge", "/usr/lib/modules/6.1.0/extra/kheaders.ko", []string{"/lib -> usr/lib"}},
		{"absolute", "/usr/lib/modules/6.1.0/extra/kheaders.ko", []string{"/lib -> /usr/lib"}},
		{"directory", "/usr/lib/stock/kernel/kheaders.ko", []string{"/lib/modules/6.1.0/kernel -> /usr/lib/stock"}},
		{"file", "/data/k", []string{"/lib/modules/6.1.0/extra/kheaders.ko -> /data/k"}},
		{"out of the top", "/data/k", []string{"/lib/modules/6.1.0/extra/kheaders.ko -> ../../../../../../../data/k"}},
		{"chain", "/data/k", []string{"/lib/modules/6.1.0/extra -> /a/b/..", "/a/b -> ../c/", "/c -> /d/./e", "/d/e/x -> y", "/d/kheaders.ko -> //data/k"}},
		{"NixOS", "/nix/store/x-modules/lib/modules/6.1.0/kernel/kernel/kheaders.ko",
			[]string{"/run/booted-system -> /nix/store/system", "/nix/store/system/kernel-modules -> /nix/store/x-modules"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, want := t.TempDir(), archive(t, "A")
			write(t, root+test.file, moduleOf(want).bytes())
			links(t, root, test.links...)
			a, err := Find(root, "6.1.0")
			if err != nil {
				t.Fatal(err)
			}
			if a.Path != root+test.file || !bytes.Equal(a.Data, want) {
				t.Errorf("found %s, want %s", a.Path, root+test.file)
			}
		})
	}
}

// A link never leads out of the tree, where the same file exists, too.
func TestFindInStaysInside(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	write(t, outside+"/kheaders.ko", moduleOf(archive(t, "A")).bytes())
	links(t, root, "/lib/modules/6.1.0/extra -> "+outside, "/lib/modules/6.1.0/updates -> ../../../../"+filepath.Base(outside))
	var notFound *NotFoundError
	if a, err := Find(root, "6.1.0"); !errors.As(err, &notFound) {
		t.Errorf("found %v, %v", a, err)
	}
	links(t, root, "/lib/modules/6.1.1 -> /lib/modules/6.1.1")
	if _, err := Find(root, "6.1.1"); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a loop: %v", err)
	}
	if _, err := Find(root+"/missing", "6.1.0"); !errors.Is(err, os.ErrNotExist) || errors.As(err, &notFound) {
		t.Errorf("no such root: %v", err)
	}
}

// The headers of another kernel are never taken (weak-modules of Fedora, RHEL
// and SUSE links to them).
func TestOtherKernel(t *testing.T) {
	const (
		lib   = "/lib/modules/6.1.0"
		other = "/lib/modules/6.1.1/extra/kheaders.ko"
		leads = ": leads to " + other + ", which belongs to another kernel"
	)
	for _, test := range []struct {
		name, dep string
		links     []string
		tried     string
	}{
		{"weak-updates", "weak-updates/kheaders.ko:\n", []string{lib + "/weak-updates/kheaders.ko -> " + other},
			lib + "/modules.dep: names only weak-updates/kheaders.ko, which belongs to another kernel"},
		{"modules.dep", "x/kheaders.ko:\n", []string{lib + "/x/kheaders.ko -> " + other}, lib + "/x/kheaders.ko" + leads},
		{"file", "", []string{lib + "/extra/kheaders.ko -> " + other}, lib + "/extra/kheaders.ko" + leads},
		{"directory", "", []string{lib + "/extra -> ../6.1.1/extra"}, lib + "/extra/kheaders.ko" + leads},
		{"whole", "-", []string{lib + " -> 6.1.1"}, lib + "/: leads to /lib/modules/6.1.1, which belongs to another kernel"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root+other, moduleOf(archive(t, "A")).bytes())
			if test.dep != "-" {
				write(t, root+lib+"/modules.dep", []byte(test.dep))
			}
			links(t, root, test.links...)
			_, err := Find(root, "6.1.0")
			var notFound *NotFoundError
			if !errors.As(err, &notFound) || !slices.Contains(notFound.Tried, root+test.tried) {
				t.Fatalf("got %v, want %s", err, root+test.tried)
			}
			if !slices.Equal(notFound.WithHeaders, []string{"6.1.1"}) {
				t.Errorf("headers of %q", notFound.WithHeaders)
			}
		})
	}
}

// A search that fails lists the kernels that are installed.
func TestInstalled(t *testing.T) {
	root := t.TempDir()
	module := moduleOf(archive(t, "A")).bytes()
	write(t, root+"/lib/modules/6.1.2/x/kheaders.ko.xz", xzOf(t, module))
	write(t, root+"/lib/modules/6.1.2/modules.dep", []byte("x/kheaders.ko.xz:\n"))
	write(t, root+"/lib/modules/6.1.1/extra/kheaders.ko", module)
	write(t, root+"/lib/modules/6.1.3/modules.dep", nil)
	write(t, root+"/lib/modules/file", nil)
	links(t, root, "/lib/modules/broken -> nowhere")
	_, err := Find(root, "6.1.0")
	var notFound *NotFoundError
	if !errors.As(err, &notFound) {
		t.Fatal(err)
	}
	if want := []string{"6.1.1", "6.1.2", "6.1.3"}; !slices.Equal(notFound.Installed, want) {
		t.Errorf("installed %q, want %q", notFound.Installed, want)
	}
	if want := []string{"6.1.1", "6.1.2"}; !slices.Equal(notFound.WithHeaders, want) {
		t.Errorf("headers of %q, want %q", notFound.WithHeaders, want)
	}
}
