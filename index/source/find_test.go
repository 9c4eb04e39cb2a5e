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

	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// On a machine of these files, find takes the one called want, or fails.
func TestFind(t *testing.T) {
	const (
		sys    = "/sys/kernel/kheaders.tar.xz"
		proc   = "/proc/kheaders.tar.xz"
		lib    = "/lib/modules/6.1.0/"
		booted = "/run/booted-system/kernel-modules/lib/modules/6.1.0/"
		stock  = "kernel/kernel/kheaders.ko"
		dep    = "modules.dep"
	)
	type files = map[string]string // content: "module", "archive", or as it is
	for _, test := range []struct {
		name    string
		running bool
		files   files
		want    string // with what the error is to hold behind a space
	}{
		{"sysfs first", true, files{sys: "archive", proc: "archive", lib + stock: "module"}, sys},
		{"then proc", true, files{proc: "archive", lib + stock: "module"}, proc},
		{"then the module", true, files{lib + stock: "module"}, lib + stock},
		{"not for another kernel", false, files{sys: "archive", proc: "archive", lib + stock: "module"}, lib + stock},
		{"modules.dep", false, files{lib + dep: "a/b.ko: a/c.ko\nother/kheaders.ko:\n", lib + "other/kheaders.ko": "module", lib + stock: "module"}, lib + "other/kheaders.ko"},
		{"modules.dep, .gz", false, files{lib + dep: "x/kheaders.ko.gz:\n", lib + "x/kheaders.ko.gz": "module"}, lib + "x/kheaders.ko.gz"},
		{"modules.dep, .xz", false, files{lib + dep: "x/kheaders.ko.xz:\n", lib + "x/kheaders.ko.xz": "module"}, lib + "x/kheaders.ko.xz"},
		{"modules.dep, .zst", false, files{lib + dep: "x/kheaders.ko.zst: y.ko.zst\n", lib + "x/kheaders.ko.zst": "module"}, lib + "x/kheaders.ko.zst"},
		{"modules.dep without a last newline", false, files{lib + dep: "x/kheaders.ko:", lib + "x/kheaders.ko": "module"}, lib + "x/kheaders.ko"},
		{"the first one in modules.dep", false, files{lib + dep: "x/kheaders.ko:\ny/kheaders.ko:\n", lib + "x/kheaders.ko": "module", lib + "y/kheaders.ko": "module"}, lib + "x/kheaders.ko"},
		{"names like it", false, files{lib + dep: "x/kheaders2.ko:\nx/my-kheaders.ko:\nx/kheaders.o:\nkheaders.ko.d/z.ko:\nz.ko: x/kheaders.ko\n",
			lib + "x/kheaders2.ko": "module", lib + "x/kheaders.o": "module", lib + stock: "module"}, lib + stock},
		{"stale modules.dep", false, files{lib + dep: "gone/kheaders.ko:\n", lib + stock + ".xz": "module"}, lib + stock + ".xz"},
		{"absolute path in modules.dep", false, files{lib + dep: "/x/kheaders.ko:\n", "/x/kheaders.ko": "module", lib + "x/kheaders.ko": "module", lib + stock: "module"}, lib + stock},
		{"path out of the directory in modules.dep", false, files{lib + dep: "../x/kheaders.ko:\n", "/lib/modules/x/kheaders.ko": "module", lib + stock: "module"}, lib + stock},
		{"path out and in again", false, files{lib + dep: "y/../../6.1.0/x/kheaders.ko:\n", lib + "x/kheaders.ko": "module", lib + stock: "module"}, lib + stock},
		{"modules.dep of one endless line", false, files{lib + dep: strings.Repeat("x", 2<<20), lib + stock: "module"}, lib + stock},
		{"stock", false, files{lib + stock: "module", lib + stock + ".xz": "module", lib + "extra/kheaders.ko": "module"}, lib + stock},
		{"DKMS", false, files{lib + "updates/dkms/kheaders.ko.zst": "module", lib + "updates/kheaders.ko": "module"}, lib + "updates/dkms/kheaders.ko.zst"},
		{"updates", false, files{lib + "updates/kheaders.ko.gz": "module", lib + "extra/kheaders.ko": "module"}, lib + "updates/kheaders.ko.gz"},
		{"extra", false, files{lib + "extra/kheaders.ko": "module"}, lib + "extra/kheaders.ko"},
		{"NixOS", false, files{booted + dep: stock + ".xz:\n", booted + stock + ".xz": "module"}, booted + stock + ".xz"},
		{"NixOS second", false, files{lib + "extra/kheaders.ko": "module", booted + stock: "module"}, lib + "extra/kheaders.ko"},
		{"NixOS, where the first is empty", false, files{lib + dep: "", booted + stock: "module"}, booted + stock},
		{"a file for /lib/modules", false, files{"/lib/modules": "", booted + stock: "module"}, booted + stock},
		{"only another kernel", true, files{"/lib/modules/6.1.1/" + stock: "module"}, " no headers archive for kernel 6.1.0; tried:"},

		// What is there and can't be used is told, and nothing else taken.
		{"bad sysfs", true, files{sys: "text", proc: "archive", lib + stock: "module"}, " " + sys + ": not an archive of headers"},
		{"empty proc", true, files{proc: "", lib + stock: "module"}, " " + proc + ": the file is empty"},
		{"bad module in modules.dep", false, files{lib + dep: "x/kheaders.ko:\n", lib + "x/kheaders.ko": "text", lib + stock: "module"}, " " + lib + "x/kheaders.ko: not an archive of headers"},
		{"cut module", false, files{lib + stock: "cut", lib + stock + ".xz": "module"}, " " + lib + stock + ": no kernel headers in it"},
		{"a directory of its name", false, files{lib + stock + "/x": "", lib + "extra/kheaders.ko": "module"}, " " + lib + stock + ": not a regular file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			data := map[string][]byte{} // by name, each with another archive
			for name, content := range test.files {
				data[name] = archive(t, name)
				write(t, root+name, contentOf(t, name, content, data[name]))
			}
			a, err := find(root, "6.1.0", test.running)
			if want, text, fails := strings.Cut(test.want, " "); fails {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("got %v, want an error with %s", err, text)
				}
			} else if err != nil {
				t.Error(err)
			} else if a.Path != root+want || !bytes.Equal(a.Data, data[want]) {
				t.Errorf("found %s, want %s", a.Path, want)
			}
		})
	}
}

func contentOf(t *testing.T, name, content string, archive []byte) []byte {
	t.Helper()
	switch content {
	case "archive":
		return archive
	case "module":
		module := moduleOf(archive).bytes()
		switch filepath.Ext(name) {
		case ".gz":
			return tartest.Gzip(t, module)
		case ".xz":
			return xzOf(t, module)
		case ".zst":
			return tartest.Zstd(t, module)
		}
		return module
	case "cut":
		return moduleOf(archive).bytes()[:200]
	}
	return []byte(content)
}

// A search that finds nothing lists every place that it looked at.
func TestNotFound(t *testing.T) {
	places := func(dir, dep string) []string {
		return []string{
			dir + "/modules.dep: " + dep,
			dir + "/kernel/kernel/kheaders{.ko,.ko.gz,.ko.xz,.ko.zst}: no such file or directory",
			dir + "/updates/dkms/kheaders{.ko,.ko.gz,.ko.xz,.ko.zst}: no such file or directory",
			dir + "/updates/kheaders{.ko,.ko.gz,.ko.xz,.ko.zst}: no such file or directory",
			dir + "/extra/kheaders{.ko,.ko.gz,.ko.xz,.ko.zst}: no such file or directory",
		}
	}
	const (
		missing = "no such file or directory"
		lib     = "/lib/modules/6.1.0"
		booted  = "/run/booted-system/kernel-modules/lib/modules/6.1.0"
	)
	virtual := []string{"/sys/kernel/kheaders.tar.xz: " + missing, "/proc/kheaders.tar.xz: " + missing}
	for _, test := range []struct {
		name    string
		running bool
		dep     map[string]string // modules.dep
		want    []string
	}{
		{"nothing", false, nil, []string{lib + "/: " + missing, booted + "/: " + missing}},
		{"nothing, running", true, nil, append(slices.Clone(virtual), lib+"/: "+missing, booted+"/: "+missing)},
		{"no kheaders", true, map[string]string{lib: "a.ko:\n"},
			append(append(slices.Clone(virtual), places(lib, "names no kheaders")...), booted+"/: "+missing)},
		{"stale", false, map[string]string{lib: "x/kheaders.ko:\n", booted: ""},
			append(append([]string{lib + "/x/kheaders.ko: " + missing}, places(lib, "")[1:]...), places(booted, "names no kheaders")...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			for dir, dep := range test.dep {
				write(t, filepath.Join(root, dir, "modules.dep"), []byte(dep))
			}
			_, err := find(root, "6.1.0", test.running)
			var notFound *NotFoundError
			if !errors.As(err, &notFound) {
				t.Fatalf("got %v", err)
			}
			for i := range notFound.Tried {
				notFound.Tried[i] = strings.TrimPrefix(notFound.Tried[i], root)
			}
			if notFound.Release != "6.1.0" || !slices.Equal(notFound.Tried, test.want) {
				t.Errorf("for %s tried\n%s\nwant\n%s", notFound.Release, strings.Join(notFound.Tried, "\n"), strings.Join(test.want, "\n"))
			}
			for _, place := range test.want {
				if !strings.Contains(err.Error(), "\n  "+place) {
					t.Errorf("%q doesn't tell of %s", err, place)
				}
			}
		})
	}
}

// A release is a name, and no way to somewhere else.
func TestNoRelease(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"/lib/modules/", "/lib/", "/lib/modules/a/b/"} {
		write(t, root+dir+"kernel/kernel/kheaders.ko", moduleOf(archive(t, "A")).bytes())
	}
	for _, release := range []string{"", ".", "..", "a/b", "/", "../modules", "a\x00"} {
		a, err := find(root, release, false)
		if err == nil || !strings.HasSuffix(err.Error(), "is not a kernel release") {
			t.Errorf("%q: %v, %v", release, a, err)
		}
	}
}

// A module that can't be opened is not passed over.
func TestUnreadable(t *testing.T) {
	root := t.TempDir()
	const name = "/lib/modules/6.1.0/kernel/kernel/kheaders.ko"
	write(t, root+"/lib/modules/6.1.0/extra/kheaders.ko", moduleOf(archive(t, "A")).bytes())
	must(t, os.MkdirAll(filepath.Dir(root+name), 0o755))
	must(t, os.Symlink("kheaders.ko", root+name)) // to itself
	if a, err := find(root, "6.1.0", false); !errors.Is(err, syscall.ELOOP) || !strings.Contains(err.Error(), name) {
		t.Errorf("%v, %v", a, err)
	}
}

// The release of this machine's kernel is one that find takes.
func TestRunning(t *testing.T) {
	release, err := Running()
	must(t, err)
	var notFound *NotFoundError
	if _, err := find(t.TempDir(), release, true); !errors.As(err, &notFound) || len(notFound.Tried) != 4 {
		t.Errorf("%q: %v", release, err)
	}
}
