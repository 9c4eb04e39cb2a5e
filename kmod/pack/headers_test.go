// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/tests/need"
)

// What a kernel's main Makefile has of lines that begin with include.
const mainMakefile = `VERSION = 6
include $(srctree)/scripts/Kbuild.include
include $(srctree)/arch/$(SRCARCH)/Makefile
include scripts/Makefile.build
`

// merge returns a layout with all that the given ones have.
func merge(all ...layout) layout {
	sum := layout{}
	for _, l := range all {
		maps.Copy(sum, l)
	}
	return sum
}

// below returns a layout with all paths below a directory.
func (l layout) below(dir string) layout {
	all := layout{}
	for name, text := range l {
		all[dir+"/"+name] = text
	}
	return all
}

// What all layouts have: headers of the source, and those that were generated.
var (
	sourceHeaders = layout{
		"include/linux/types.h":      "types",
		"include/linux/sched/task.h": "task",
		"include/uapi/linux/types.h": "uapi",
		"arch/x86/include/asm/a.h":   "a",
	}
	builtHeaders = layout{
		"include/generated/autoconf.h":         "autoconf",
		"include/generated/utsrelease.h":       "release",
		"include/config/auto.conf":             "CONFIG_A=y\n",
		"include/config/kernel.release":        "6.1.0\n",
		"arch/x86/include/generated/asm/gen.h": "gen",
	}
	allHeaders = merge(sourceHeaders, builtHeaders)
	// What lies beside them, and doesn't go in.
	otherFiles = layout{
		".config":                      "x",
		"Makefile":                     mainMakefile,
		"Module.symvers":               "x",
		"include/Kbuild":               "x",
		"include/linux/types.c":        "x",
		"include/linux/x.h.orig":       "x",
		"include/linux/dangling":       "->nowhere",
		"include/config/auto.conf.cmd": "x",
		"include/config/tristate.conf": "x",
		"include/config/FUSE_FS":       "",
		"include/generated/rustc_cfg":  "x",
		"arch/x86/kernel/a.h":          "x",
		"arch/x86/Makefile":            "x",
		"drivers/net/b.h":              "x",
		"scripts/mod/c.h":              "x",
		"tools/include/linux/types.h":  "x",
	}
	otherArch = layout{"arch/arm64/include/asm/a.h": "arm", "arch/arm64/Makefile": "x", "arch/um/Makefile": "x"}
)

// TestLayouts packs fixtures of the trees that kernels' headers come in. They
// are made after what distributions install, and are not from them.
func TestLayouts(t *testing.T) {
	for _, test := range []struct {
		name    string
		layout  layout
		tree    string // in the layout
		objtree string
		want    layout
	}{
		{"Debian", merge(
			merge(sourceHeaders, otherFiles, otherArch).below("common"),
			builtHeaders.below("amd64"),
			layout{"amd64/Makefile": "include DIR/common/Makefile\n", "amd64/.config": "x", "amd64/scripts": "->../kbuild/scripts",
				"amd64/arch/x86/kernel/a.h": "x", "lib/modules/R/build": "->DIR/amd64"},
		), "lib/modules/R/build", "", allHeaders},
		{"Ubuntu", merge(
			merge(sourceHeaders, otherFiles, otherArch, layout{"include/dt-bindings/link.h": "->../uapi/linux/types.h"}).below("linux-headers-R"),
			builtHeaders.below("linux-headers-R-generic"),
			layout{
				"linux-headers-R-generic/Makefile":                "->../linux-headers-R/Makefile",
				"linux-headers-R-generic/drivers":                 "->../linux-headers-R/drivers",
				"linux-headers-R-generic/include/linux":           "->../../linux-headers-R/include/linux",
				"linux-headers-R-generic/include/uapi":            "->../../linux-headers-R/include/uapi",
				"linux-headers-R-generic/include/dt-bindings":     "->../../linux-headers-R/include/dt-bindings",
				"linux-headers-R-generic/include/Kbuild":          "->../../linux-headers-R/include/Kbuild",
				"linux-headers-R-generic/arch/arm64":              "->../../linux-headers-R/arch/arm64",
				"linux-headers-R-generic/arch/x86/include/asm":    "->../../../../linux-headers-R/arch/x86/include/asm",
				"linux-headers-R-generic/arch/x86/Makefile":       "->../../../linux-headers-R/arch/x86/Makefile",
				"linux-headers-R-generic/include/config/FUSE_FS":  "",
				"linux-headers-R-generic/include/generated/x.txt": "x",
			},
		), "linux-headers-R-generic", "", merge(allHeaders, layout{"include/dt-bindings/link.h": "->../uapi/linux/types.h"})},
		{"Fedora", merge(allHeaders, otherFiles, otherArch).below("usr/src/kernels/R"), "usr/src/kernels/R", "", allHeaders},
		{"Arch", merge(allHeaders, otherFiles, layout{"arch/x86/entry/syscalls/a.h": "x"}), "", "", allHeaders},
		{"built in place", merge(allHeaders, otherFiles, otherArch, layout{"vmlinux": "x"}), ".", "", allHeaders},
		{"objtree", merge(
			merge(sourceHeaders, otherFiles, otherArch).below("src"),
			merge(builtHeaders, layout{"Makefile": "include /nowhere/Makefile\n"}).below("obj"),
		), "src", "obj", allHeaders},
		{"objtree as the tree", merge(
			merge(sourceHeaders, otherFiles, otherArch).below("src"),
			merge(builtHeaders, layout{"Makefile": "# Automatically generated by DIR/src/Makefile: don't edit\nexport KBUILD_OUTPUT = DIR/obj\ninclude DIR/src/Makefile\n"}).below("obj"),
		), "obj", "", allHeaders},
		{"objtree in the source tree", merge(
			merge(sourceHeaders, otherFiles, otherArch),
			merge(builtHeaders, layout{"Makefile": "include ../Makefile\n"}).below("obj"),
		), "obj", "", allHeaders},
		{"plain tree", merge(allHeaders, layout{"include/config/auto.conf": "x"}), "", "", merge(allHeaders, layout{"include/config/auto.conf": "x"})},
		{"a stock archive, unpacked", sourceHeaders, "", "", sourceHeaders},
		{"not configured, one architecture", merge(sourceHeaders, otherFiles, layout{"arch/um/Makefile": "x"}), "", "",
			merge(sourceHeaders)},
		{"what was built takes the place of the source's", merge(
			merge(allHeaders, layout{"include/linux/both.h": "old", "include/linux/link.h": "old", "include/linux/was.h": "->types.h"}).below("src"),
			merge(builtHeaders, layout{"include/linux/both.h": "new", "include/linux/link.h": "->both.h", "include/linux/was.h": "no link",
				"include/config/auto.conf": "CONFIG_A=m\n"}).below("obj"),
		), "src", "obj", merge(allHeaders, layout{"include/linux/both.h": "new", "include/linux/link.h": "->both.h", "include/linux/was.h": "no link",
			"include/config/auto.conf": "CONFIG_A=m\n"})},
		{"a name with a pattern in it", merge(allHeaders, otherArch).below("a[b]*?"), "a[b]*?", "", allHeaders},
		{"comments", layout{"arch/x86/include/a.h": "a/* b */c", "include/l.h": "->../arch/x86/include/a.h", "include/config/auto.conf": "A=\"/* x */\""}, "", "",
			layout{"arch/x86/include/a.h": "ac", "include/l.h": "->../arch/x86/include/a.h", "include/config/auto.conf": "A=\"/* x */\""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := test.layout.make(t)
			o := Options{BlockSize: 4096}
			if test.objtree != "" {
				o.Objtree = filepath.Join(dir, test.objtree)
			}
			archive := packed(t, filepath.Join(dir, test.tree), o)
			compare(t, contents(t, open(t, archive)), test.want)

			// Packed again, and out of what tar makes of it, it is the same.
			file := filepath.Join(t.TempDir(), "file")
			must(t, os.WriteFile(file, archive, 0o600))
			o.Objtree = ""
			if again := packed(t, file, o); string(again) != string(archive) {
				t.Error("packing the archive again makes other bytes")
			}
			out := t.TempDir()
			unpack(t, archive, "tar", "-C", out, "-xJf", "-")
			if again := packed(t, out, o); string(again) != string(archive) {
				t.Error("packing what tar makes of the archive makes other bytes")
			}
		})
	}
}

// Symbolic links: who leads to what is packed stays one, others become files,
// and those that lead nowhere stay what they are, as in the kernel's own archive.
func TestLinks(t *testing.T) {
	base := layout{"arch/x86/include/asm/a.h": "a", "include/d/b.h": "b", "outside/c.h": "c", "outside/d.h": "->c.h", "outside/text": "t"}
	for _, test := range []struct {
		name        string
		links, want layout
	}{
		{"beside", layout{"include/d/l.h": "->b.h"}, layout{"include/d/l.h": "->b.h"}},
		{"up and down", layout{"include/d/l.h": "->../d/./../../arch/x86/include/asm/a.h"}, layout{"include/d/l.h": "->../d/./../../arch/x86/include/asm/a.h"}},
		{"to a link", layout{"include/d/l.h": "->m.h", "include/d/m.h": "->b.h"}, layout{"include/d/l.h": "->m.h", "include/d/m.h": "->b.h"}},
		{"to a link that leads out", layout{"include/l.h": "->m.h", "include/m.h": "->../outside/c.h"}, layout{"include/l.h": "->m.h", "include/m.h": "c"}},
		{"out", layout{"include/l.h": "->../outside/c.h"}, layout{"include/l.h": "c"}},
		{"out, to a link", layout{"include/l.h": "->../outside/d.h"}, layout{"include/l.h": "c"}},
		{"out, to another name", layout{"include/l.h": "->../outside/text"}, layout{"include/l.h": "t"}},
		{"absolute, out", layout{"include/l.h": "->DIR/outside/c.h"}, layout{"include/l.h": "c"}},
		{"absolute, inside", layout{"include/l.h": "->DIR/include/d/b.h"}, layout{"include/l.h": "b"}},
		{"to a directory", layout{"include/l": "->d"}, layout{"include/l/b.h": "b"}},
		{"to a directory called like a header", layout{"include/l.h": "->d"}, layout{"include/l.h/b.h": "b"}},
		{"to a directory outside", layout{"include/l": "->../outside"}, layout{"include/l/c.h": "c", "include/l/d.h": "->c.h"}},
		{"through a link to a directory", layout{"include/l": "->d", "include/m.h": "->l/b.h"}, layout{"include/l/b.h": "b", "include/m.h": "->l/b.h"}},
		{"leading nowhere", layout{"include/l.h": "->nowhere/x.h", "include/m.h": "->/nowhere/x.h"}, layout{"include/l.h": "->nowhere/x.h", "include/m.h": "->/nowhere/x.h"}},
		{"leading nowhere, no header", layout{"include/l": "->nowhere"}, nil},
		{"to itself", layout{"include/l.h": "->l.h"}, layout{"include/l.h": "->l.h"}},
		{"to each other", layout{"include/l.h": "->m.h", "include/m.h": "->l.h"}, layout{"include/l.h": "->m.h", "include/m.h": "->l.h"}},
		{"to each other, no header", layout{"include/l": "->m", "include/m": "->l"}, nil},
		{"what else goes in", layout{"include/config/auto.conf": "->../../outside/text"}, layout{"include/config/auto.conf": "t"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := merge(base, test.links).make(t)
			want := merge(test.want, layout{"arch/x86/include/asm/a.h": "a", "include/d/b.h": "b"})
			compare(t, contents(t, open(t, packed(t, dir, Options{}))), want)
		})
	}
}

// What can't be packed fails at once, with the reason.
func TestTreeErrors(t *testing.T) {
	arches := layout{"arch/x86/include/asm/a.h": "a", "arch/arm64/include/asm/a.h": "a", "include/a.h": "a"}
	for _, test := range []struct {
		name    string
		layout  layout
		tree    string
		objtree string
		want    string // DIR: the layout's directory
	}{
		{"nothing", layout{}, "", "", "DIR: not a tree of kernel headers: no arch/*/include"},
		{"not there", layout{}, "x", "", "stat DIR/x: no such file or directory"},
		{"no architecture", layout{"include/a.h": "a"}, "", "", "DIR: not a tree of kernel headers: no arch/*/include"},
		{"no headers", layout{"include/a.c": "a", "arch/x86/include/": ""}, "", "", "DIR: no headers in include or arch/x86/include"},
		{"not configured", arches, "", "", "DIR: which architecture? headers are generated for none or many of arm64, x86 (make prepare generates them)"},
		{"configured twice", merge(arches, layout{"arch/x86/include/generated/": "", "arch/arm64/include/generated/": ""}), "", "",
			"DIR: which architecture? headers are generated for none or many of arm64, x86 (make prepare generates them)"},
		{"objtree is not there", allHeaders, "", "x", "open DIR/x: no such file or directory"},
		{"objtree is a file", merge(allHeaders, layout{"x": "x"}), "", "x", "DIR/x: not a directory"},
		{"link to the directory above", merge(allHeaders, layout{"include/linux/l": "->.."}), "", "", "DIR/include/linux/l/linux: directories without end"},
		{"link to the same directory", merge(allHeaders, layout{"include/linux/l": "->."}), "", "", "DIR/include/linux/l: directories without end"},
		{"links to each other's directories", merge(allHeaders, layout{"include/a/l": "->../b", "include/b/l": "->../a"}), "", "", "DIR/include/a/l/l: directories without end"},
		{"deep", merge(allHeaders, layout{"include/" + strings.Repeat("d/", 70) + "a.h": "a"}), "", "", "DIR/include/" + strings.Repeat("d/", 64) + "d: directories without end"},
		{"include is a file", layout{"include": "x", "arch/x86/include/a.h": "a"}, "", "", "DIR/include: not a directory"},
		{"auto.conf is a directory", merge(allHeaders, layout{"include/config/auto.conf": "->../linux"}), "", "", "DIR/include/config/auto.conf: not a file"},
		{"not an archive", layout{"f": "x"}, "f", "", "DIR/f: neither a .tar.xz archive, nor a kernel module, nor an uncompressed kernel image"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := test.layout.make(t)
			var o Options
			if test.objtree != "" {
				o.Objtree = filepath.Join(dir, test.objtree)
			}
			err := packError(t, filepath.Join(dir, test.tree), o)
			if got := strings.ReplaceAll(err.Error(), dir, "DIR"); !strings.HasSuffix(got, test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// A FIFO that is called like a header would hold a reader up for ever.
func TestFIFO(t *testing.T) {
	for _, name := range []string{"include/linux/fifo.h", "include/config/kernel.release"} {
		dir := sourceHeaders.make(t)
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, unix.Mkfifo(path, 0o644))
		// Where the FIFO blocks it, the test does not end.
		if err := packError(t, dir, Options{}); !strings.HasSuffix(err.Error(), name+": not a file") {
			t.Errorf("got %v", err)
		}
	}
	dir := merge(sourceHeaders, layout{"include/l.h": "->../fifo"}).make(t)
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	if err := packError(t, dir, Options{}); !strings.HasSuffix(err.Error(), "include/l.h: a link to what is not a file") {
		t.Errorf("got %v", err)
	}
}

// Times of files stay, to the second, and those of directories are the newest
// of all; whatever is newer than SOURCE_DATE_EPOCH tells gets that.
func TestTimes(t *testing.T) {
	dir := merge(allHeaders, layout{"include/l.h": "->linux/types.h"}).make(t)
	at := func(name string, sec, nsec int64) {
		when := unix.NsecToTimespec(sec*1e9 + nsec)
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, name), []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW))
	}
	at("include/linux/types.h", 1000, 999_999_999)
	at("include/l.h", 2000, 0)
	at("include/config/auto.conf", -5, 500_000_000) // before 1970
	at("arch/x86/include/asm/a.h", 1<<33, 0)        // in 2242
	for _, test := range []struct {
		epoch time.Time
		want  map[string]int64
	}{
		{time.Time{}, map[string]int64{"include/linux/types.h": 1000, "include/l.h": 2000, "include/config/auto.conf": -5, "arch/x86/include/asm/a.h": 1 << 33,
			"include/uapi/linux/types.h": then.Unix(), "include/linux": 1 << 33, "arch/x86/include/asm": 1 << 33}},
		{time.Unix(1500, 0), map[string]int64{"include/linux/types.h": 1000, "include/l.h": 1500, "include/config/auto.conf": -5, "arch/x86/include/asm/a.h": 1500,
			"include/linux": 1500, "include": 1500}},
		// A finer one than what a tar tells.
		{time.Unix(1500, 700_000_000), map[string]int64{"include/l.h": 1500, "include": 1500}},
		{time.Unix(0, 0), map[string]int64{"include/linux/types.h": 0, "include/config/auto.conf": -5, "include": 0}},
	} {
		tree := open(t, packed(t, dir, Options{Epoch: test.epoch}))
		for name, want := range test.want {
			id, ok := tree.Find(name)
			if e := tree.Entry(id); !ok || e.Sec != want || e.Nsec != 0 {
				t.Errorf("up to %v: %s is of %d.%09d, want %d", test.epoch, name, e.Sec, e.Nsec, want)
			}
		}
	}
}

// Owners and modes are the same wherever an archive is made.
func TestOwnersAndModes(t *testing.T) {
	need.Command(t, "xz")
	dir := merge(allHeaders, layout{"include/l.h": "->linux/types.h"}).make(t)
	must(t, os.Chmod(filepath.Join(dir, "include/linux/types.h"), 0o4751))
	must(t, os.Chmod(filepath.Join(dir, "include/linux"), 0o700))
	if os.Geteuid() == 0 {
		must(t, os.Chown(filepath.Join(dir, "include/linux/types.h"), 12, 34))
	}
	kinds := map[byte]int64{'0': 0o644, '5': 0o755, '2': 0o777}
	for _, p := range places(t, unpack(t, packed(t, dir, Options{}), "xz", "-dc")) {
		h := p.header
		if h.Typeflag == 'g' {
			continue
		}
		if mode, ok := kinds[h.Typeflag]; !ok || h.Mode != mode || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s: type %q, mode %#o, owner %d:%d, %q:%q", h.Name, h.Typeflag, h.Mode, h.Uid, h.Gid, h.Uname, h.Gname)
		}
		if !strings.HasPrefix(h.Name, "./") || strings.HasSuffix(h.Name, "/") != (h.Typeflag == '5') {
			t.Errorf("a member called %q", h.Name)
		}
	}
}

// A stock archive, as a file, is packed as the tree that it is: nothing is
// stripped from it or left out.
func TestStockArchive(t *testing.T) {
	want := merge(allHeaders, layout{"include/linux/c.h": "a/* b */c", "include/linux/text": "x", "kconfig.h": "top", "include/l.h": "->linux/c.h",
		"include/empty.h": "", "include/m.h": "->../../../outside.h", "include/linux/aside.h": strings.Repeat("x", 10_000)})
	dir := want.make(t)
	must(t, os.Link(filepath.Join(dir, "include/linux/c.h"), filepath.Join(dir, "include/hard.h")))
	want["include/hard.h"] = want["include/linux/c.h"]
	stock := unpack(t, nil, "tar", "-C", dir, "--sort=name", "-cJf", "-", ".")
	file := filepath.Join(t.TempDir(), "stock.tar.xz")
	must(t, os.WriteFile(file, stock, 0o600))
	for _, keep := range []bool{false, true} {
		tree := open(t, packed(t, file, Options{BlockSize: 4096, KeepComments: keep}))
		compare(t, contents(t, tree), want)
		if id, ok := tree.Find("include/linux/c.h"); !ok || tree.Entry(id).Sec != then.Unix() {
			t.Error("another time")
		}
	}
	// One with nothing in it, and one with directories only.
	for _, l := range []layout{{}, {"include/linux/": ""}} {
		must(t, os.WriteFile(file, unpack(t, nil, "tar", "-C", l.make(t), "-cJf", "-", "."), 0o600))
		if err := packError(t, file, Options{}); err.Error() != file+": no files in it" {
			t.Errorf("got %v", err)
		}
	}
	if _, err := index.Open(bytes.NewReader(stock), int64(len(stock))); err != nil {
		t.Error(err)
	}
}
