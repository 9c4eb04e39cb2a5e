// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// addKbuild adds what kbuild needs besides headers to build modules that are not part of the
// kernel, so that the archive is both source tree and build directory. What make runs is
// taken with all that lies beside it: distributions wrap programs in others. With btf, modules
// get BTF, whose types are those of vmlinux.
func (t *tree) addKbuild(roots []string, btf bool) error {
	if err := t.addFiles(roots[0], []string{"Makefile"}); err != nil { // others include it
		return err
	}
	files := []string{"Kbuild", ".config", ".kernelvariables", "Module.symvers", "include/generated/rustc_cfg"}
	needed := []string{"Makefile", "scripts/Makefile.build", "include/config/auto.conf"}
	dirs := map[string]filter{
		path.Join("arch", t.arch): inArch,
		"scripts":                 inScripts,
		"tools/objtool":           isProgram,
		"rust":                    inRust,
	}
	if btf {
		files, needed = append(files, "vmlinux"), append(needed, "vmlinux")
		dirs["tools/bpf/resolve_btfids"] = isProgram
	}
	for _, root := range roots {
		if err := t.addFiles(root, files); err != nil {
			return err
		}
		for dir, want := range dirs {
			if err := t.walk(root, dir, want, nil); err != nil {
				return err
			}
		}
	}
	for _, name := range needed {
		if t.members[name] == nil {
			return fmt.Errorf("%s: no %s: modules can't be built with it", roots[len(roots)-1], name)
		}
	}
	return nil
}

func isProgram(name string, st fs.FileInfo) bool { return st.Mode()&0o111 != 0 }

// inArch reports whether a file of an architecture's directory is read when a module is
// built: the object files are linked into each module.
func inArch(name string, st fs.FileInfo) bool {
	base := path.Base(name)
	return st.IsDir() || strings.HasPrefix(base, "Makefile") || base == "Platform" || strings.HasPrefix(base, "Kbuild") ||
		strings.HasSuffix(base, ".lds") || base == "crtsavres.o" || base == "ftrace-mod.o"
}

// inScripts leaves out sources and objects of the programs there, and what serves the kernel's
// configuration, packages, device trees and developers.
func inScripts(name string, st fs.FileInfo) bool {
	_, below, _ := strings.Cut(name, "/")
	if slices.Contains([]string{"coccinelle", "dtc", "gdb", "kconfig", "package", "selinux"}, below) {
		return false
	}
	switch path.Ext(name) {
	case ".c":
		return below == "module-common.c" // compiled into each module
	case ".a", ".cmd", ".d", ".h", ".l", ".o", ".rs", ".y":
		return false
	}
	return true
}

func inRust(name string, st fs.FileInfo) bool {
	ext := path.Ext(name)
	return st.IsDir() || ext == ".rmeta" || ext == ".so"
}

// stripLines removes comments from a header as the compiler does, but for those with an SPDX
// line, and leaves each line of code at its number, which is compiled into modules. The
// lines of a comment in a preprocessor directive follow the directive, which the end of a
// line would end.
func stripLines(b []byte) []byte {
	out := make([]byte, 0, len(b))
	begins, directive := true, false // the logical line, and what it is
	owed := 0                        // ends of lines
	for len(b) > 0 {
		n := tokenLength(b)
		token := b[:n]
		b = b[n:]
		switch {
		case n >= len("/**/") && string(token[:2]) == "/*" && string(token[n-2:]) == "*/" && !bytes.Contains(token, []byte("SPDX")):
			out = append(out, ' ')
			lines := bytes.Count(token, []byte("\n"))
			if directive {
				owed += lines
			} else {
				out = append(out, bytes.Repeat([]byte("\n"), lines)...)
			}
			continue
		case token[0] == '\n':
			out = append(out, bytes.Repeat(token, 1+owed)...)
			begins, directive, owed = true, false, 0
			continue
		case token[0] == '#' && begins:
			directive = true
		}
		begins = begins && (token[0] == ' ' || token[0] == '\t')
		out = append(out, token...)
	}
	return append(out, bytes.Repeat([]byte("\n"), owed)...)
}

// tokenLength returns how long the comment, literal, escaped character, or other single
// character is that b begins with.
func tokenLength(b []byte) int {
	until := func(from int, end string) int {
		if n := bytes.Index(b[from:], []byte(end)); n >= 0 {
			return from + n
		}
		return len(b)
	}
	switch {
	case bytes.HasPrefix(b, []byte("/*")):
		return min(len(b), until(2, "*/")+2)
	case bytes.HasPrefix(b, []byte("//")):
		return until(2, "\n")
	case b[0] == '\\':
		return min(len(b), 2)
	case b[0] == '"' || b[0] == '\'':
		// One without an end, in the text of #error, ends with the line.
		for i := 1; ; i++ {
			switch {
			case i >= len(b):
				return len(b)
			case b[i] == '\n':
				return i
			case b[i] == b[0]:
				return i + 1
			case b[i] == '\\':
				i++
			}
		}
	}
	return 1
}
