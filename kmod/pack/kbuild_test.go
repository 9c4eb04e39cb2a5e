// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestKbuild packs what modules are built with from trees as distributions lay them out.
func TestKbuild(t *testing.T) {
	need.Command(t, "xz")
	makefiles := layout{"Makefile": mainMakefile, "arch/x86/Makefile": "x86", "arch/x86/Makefile_32.cpu": "cpu"}
	built := layout{".config": "CONFIG_A=y\n", "Module.symvers": "symbols", "arch/x86/module.lds": "lds", "include/generated/rustc_cfg": "cfg"}
	scripts := layout{"scripts/Makefile.build": "build", "scripts/module-common.c": "common", "scripts/mod/modpost": "#!wrapper",
		"scripts/mod/modpost.real": "#!real", "tools/objtool/objtool": "#!objtool", "rust/core.rmeta": "core"}
	want := merge(allHeaders, makefiles, built, scripts)
	left := layout{
		"include/config/FUSE_FS": "", "include/Kbuild": "x", "arch/x86/kernel/a.c": "x", "arch/x86/kernel/a.o": "x", "drivers/net/b.h": "x",
		"arch/arm64/include/asm/a.h": "x", "arch/arm64/Makefile": "x", "scripts/mod/modpost.c": "x", "scripts/mod/modpost.o": "x",
		"scripts/mod/.modpost.cmd": "x", "scripts/kconfig/conf": "#!conf", "scripts/dtc/loop": "->..", "tools/objtool/check.c": "x",
		"tools/bpf/resolve_btfids/resolve_btfids": "#!btf", "tools/perf/perf": "#!perf", "vmlinux": "types", "rust/core.rs": "x", "README": "x",
	}
	variables := layout{".kernelvariables": "ARCH=x86\n"}
	flavour := layout{"Makefile": "include ../common/Makefile\n", "scripts": "->../kbuild/scripts", "tools": "->../kbuild/tools"}
	scriptsApart := merge(scripts, left)
	inScripts := layout{}
	for name, text := range scriptsApart {
		if strings.HasPrefix(name, "scripts/") || strings.HasPrefix(name, "tools/") {
			inScripts[name] = text
			delete(scriptsApart, name)
		}
	}
	delete(scriptsApart, "vmlinux")
	for _, test := range []struct {
		name, dir, objtree string
		tree, want         layout
	}{
		{"one directory, as Fedora's", ".", "", merge(want, left), want},
		{"three, as Debian's", "flavour", "", merge(
			merge(sourceHeaders, makefiles, scriptsApart).below("common"), inScripts.below("kbuild"),
			merge(builtHeaders, built, variables, flavour, layout{"vmlinux": "types"}).below("flavour")), merge(want, variables)},
		{"two, with links, as Ubuntu's", "flavour", "", merge(
			merge(sourceHeaders, makefiles, left, layout{"scripts/Makefile.build": "build", "scripts/module-common.c": "common"}).below("common"),
			merge(builtHeaders, built, layout{"scripts/mod/modpost": "#!wrapper", "scripts/mod/modpost.real": "#!real", "tools/objtool/objtool": "#!objtool",
				"tools/bpf/resolve_btfids/resolve_btfids": "#!btf", "rust/core.rmeta": "core", "vmlinux": "types",
				"Makefile": "->../common/Makefile", "include/linux": "->../../common/include/linux", "include/uapi": "->../../common/include/uapi",
				"include/Kbuild": "->../../common/include/Kbuild", "arch/arm64": "->../../common/arch/arm64",
				"arch/x86/include/asm": "->../../../../common/arch/x86/include/asm", "arch/x86/Makefile": "->../../../common/arch/x86/Makefile",
				"arch/x86/Makefile_32.cpu": "->../../../common/arch/x86/Makefile_32.cpu", "scripts/Makefile.build": "->../../common/scripts/Makefile.build",
				"scripts/module-common.c": "->../../common/scripts/module-common.c", "scripts/kconfig": "->../../common/scripts/kconfig",
				"drivers": "->../common/drivers", "README": "->../common/README"}).below("flavour")), want},
		{"built elsewhere", "source", "build", merge(
			merge(sourceHeaders, makefiles, layout{"scripts/Makefile.build": "build", "scripts/module-common.c": "common"}).below("source"),
			merge(builtHeaders, built, left, layout{"Makefile": "include ../source/Makefile\n", "scripts/mod/modpost": "#!wrapper",
				"scripts/mod/modpost.real": "#!real", "tools/objtool/objtool": "#!objtool", "rust/core.rmeta": "core"}).below("build")), want},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := test.tree.make(t)
			for name, text := range test.tree {
				if strings.HasPrefix(text, "#!") {
					must(t, os.Chmod(filepath.Join(top, name), 0o750))
				}
			}
			o := Options{Kbuild: true}
			if test.objtree != "" {
				o.Objtree = filepath.Join(top, test.objtree)
			}
			dir := filepath.Join(top, test.dir)
			archive := packed(t, dir, o)
			compare(t, contents(t, open(t, archive)), test.want)
			file := filepath.Join(t.TempDir(), "kbuild.tar.xz")
			must(t, os.WriteFile(file, archive, 0o600))
			for _, archive := range [][]byte{archive, packed(t, file, Options{})} {
				tree := open(t, archive)
				for name, text := range test.want {
					id, _ := tree.Find(name)
					if e := tree.Entry(id); (e.Mode&0o777 == 0o755) != strings.HasPrefix(text, "#!") {
						t.Errorf("%s: mode %#o", name, e.Mode)
					}
				}
			}
			o.BTF = true
			with := maps.Clone(test.want)
			with["vmlinux"], with["tools/bpf/resolve_btfids/resolve_btfids"] = "types", "#!btf"
			compare(t, contents(t, open(t, packed(t, dir, o))), with)
		})
	}
	for _, name := range []string{"Makefile", "scripts/Makefile.build", "include/config/auto.conf"} {
		l := maps.Clone(want)
		delete(l, name)
		dir := l.make(t)
		if err := packError(t, dir, Options{Kbuild: true}); err.Error() != dir+": no "+name+": modules can't be built with it" {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestStripLines(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "a", "a/* b */c\n": "a c\n", "/**/a\n": " a\n", "/*/a*/b\n": " b\n",
		"a /* b\nc */ d\ne\n":                       "a  \n d\ne\n",
		"/*\n * b\n */\nint a;\n":                   " \n\n\nint a;\n",
		"#define A /* b\n c */ 1\nd\n":              "#define A   1\n\nd\n",
		" #\tdefine A \\\n /* b\n\n */ 1 \\\n 2\nd": " #\tdefine A \\\n   1 \\\n 2\n\n\nd",
		"/* a */ #define A /*\n*/ 1\n":              "  #define A   1\n\n",
		"#define A \"/*\" /* b */ '\"' /* c */\n":   "#define A \"/*\"   '\"'  \n",
		"a // b /* c\nd /* e */\n":                  "a // b /* c\nd  \n",
		"#error don't /* a */\n/* b */c\n":          "#error don't /* a */\n c\n",
		"/* SPDX-License-Identifier: X\n */a\n":     "/* SPDX-License-Identifier: X\n */a\n",
		"a \"b\\\"/*c*/\" /* d */\n":                "a \"b\\\"/*c*/\"  \n",
		"a /* never ends\n":                         "a /* never ends\n", "/*": "/*", "/*/": "/*/", "\\": "\\", "'": "'", "\"\\": "\"\\",
	} {
		if got := string(stripLines([]byte(text))); got != want {
			t.Errorf("%q: %q instead of %q", text, got, want)
		}
	}
}

// FuzzStripLines sees that all lines stay, and that no comment is left.
func FuzzStripLines(f *testing.F) {
	f.Add([]byte("#define A /* b\n c */ 1 // d\n\"/*\"'/*'\n/* SPDX */"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := stripLines(text)
		if bytes.Count(got, []byte("\n")) != bytes.Count(text, []byte("\n")) {
			t.Errorf("%q: %q has other lines", text, got)
		}
		if again := stripLines(got); !bytes.Equal(again, got) {
			t.Errorf("%q: %q, and then %q", text, got, again)
		}
	})
}
