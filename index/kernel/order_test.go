// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestInclude(t *testing.T) {
	for _, test := range []struct {
		line, name string
		quoted     bool
	}{
		{"#include <linux/types.h>", "linux/types.h", false},
		{"#include <linux/types.h>\n", "linux/types.h", false},
		{"#include <linux/types.h>\r\n", "linux/types.h", false},
		{`#include "types.h"`, "types.h", true},
		{`#include "../a/b.h" // c`, "../a/b.h", true},
		{"\t # \tinclude\t<a.h>", "a.h", false},
		{"#include<a.h>", "a.h", false},
		{`#include"a.h"`, "a.h", true},
		{"#include <a.h> /* > */", "a.h", false},
		{`#include <a".h>`, `a".h`, false},
		{`#include "<a.h>"`, "<a.h>", true},
		{`#include "a>.h"`, "a>.h", true},
		{"#include <a>", "a", false},
		{"", "", false},
		{"#", "", false},
		{"include <a.h>", "", false},
		{"#include", "", false},
		{"#include <", "", false},
		{"#include <>", "", false},
		{`#include ""`, "", false},
		{"#include <a.h", "", false},
		{`#include "a.h`, "", false},
		{`#include "a.h>`, "", false},
		{`#include <a.h"`, "", false},
		{"#include MACRO", "", false},
		{"#include MACRO(a.h)", "", false},
		{"#include_next <a.h>", "", false},
		{"#includes <a.h>", "", false},
		{"#define include <a.h>", "", false},
		{"// #include <a.h>", "", false},
		{"#ifdef x #include <a.h>", "", false},
		{"##include <a.h>", "", false},
	} {
		name, quoted := include([]byte(test.line))
		if name != test.name || name != "" && quoted != test.quoted {
			t.Errorf("%q includes %q, %v, want %q, %v", test.line, name, quoted, test.name, test.quoted)
		}
	}
}

// includes returns a header with brackets or quotes around what it includes.
func includes(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		if !strings.HasPrefix(name, `"`) {
			name = "<" + name + ">"
		}
		b.WriteString("#include " + name + "\n")
	}
	return b.String()
}

func TestOrder(t *testing.T) {
	for _, test := range []struct {
		name   string
		layout map[string]string // a text that begins with -> is a link
		want   string            // the beginning
	}{
		{"no hot headers: by path", map[string]string{"include/b.h": "", "include/a.h": "", "arch/x86/include/c.h": "", "include/a/z.h": ""},
			"arch/x86/include/c.h include/a.h include/a/z.h include/b.h"},
		{"hot headers, in their order", map[string]string{"include/linux/fs.h": "", "include/linux/types.h": "", "include/linux/kconfig.h": "", "include/a.h": "", "include/net/sock.h": ""},
			"include/linux/kconfig.h include/linux/types.h include/linux/fs.h include/net/sock.h include/a.h"},
		{"depth first, in the order of inclusion", map[string]string{
			"include/linux/types.h": includes("z.h", "a.h", "linux/types.h"),
			"include/z.h":           includes("y.h", "b.h"), "include/y.h": includes("a.h", "z.h"), "include/a.h": "", "include/b.h": "",
			"include/linux/fs.h": includes("y.h", "c.h"), "include/c.h": "",
		}, "include/linux/types.h include/z.h include/y.h include/a.h include/b.h include/linux/fs.h include/c.h"},
		{"includes in a circle", map[string]string{"include/linux/types.h": includes("linux/fs.h"), "include/linux/fs.h": includes("linux/types.h", "linux/fs.h")},
			"include/linux/types.h include/linux/fs.h"},
		{"quotes look beside first, brackets don't", map[string]string{
			"include/linux/types.h": includes(`"x.h"`, "y.h"), "include/linux/x.h": "", "include/x.h": "", "include/linux/y.h": "", "include/y.h": "",
		}, "include/linux/types.h include/linux/x.h include/y.h include/linux/y.h include/x.h"},
		{"quotes look elsewhere then", map[string]string{
			"include/linux/types.h": includes(`"a/x.h"`, `"../b/y.h"`), "arch/x86/include/a/x.h": includes(`"z.h"`), "arch/x86/include/a/z.h": "", "include/b/y.h": "",
		}, "include/linux/types.h arch/x86/include/a/x.h arch/x86/include/a/z.h include/b/y.h"},
		{"directories in the order of the kernel's -I", map[string]string{
			"include/linux/types.h":                 includes("8.h", "1.h", "2.h", "3.h", "4.h", "5.h", "6.h", "7.h"),
			"arch/x86/include/1.h":                  "",
			"arch/x86/include/generated/1.h":        "",
			"arch/x86/include/generated/2.h":        "",
			"include/2.h":                           "",
			"include/3.h":                           "",
			"arch/x86/include/uapi/3.h":             "",
			"arch/x86/include/uapi/4.h":             "",
			"arch/x86/include/generated/uapi/4.h":   "",
			"arch/x86/include/generated/uapi/5.h":   "",
			"include/uapi/5.h":                      "",
			"include/uapi/6.h":                      "",
			"include/generated/uapi/6.h":            "",
			"include/generated/uapi/7.h":            "",
			"include/generated/8.h":                 "",
			"arch/arm/include/1.h":                  "",
			"include/generated/uapi/linux/kernel.h": "",
		}, "include/linux/types.h arch/x86/include/1.h arch/x86/include/generated/2.h include/3.h arch/x86/include/uapi/4.h " +
			"arch/x86/include/generated/uapi/5.h include/uapi/6.h include/generated/uapi/7.h arch/arm/include/1.h"},
		{"generated headers by their path", map[string]string{"include/linux/kconfig.h": includes("generated/autoconf.h", "a.h"), "include/generated/autoconf.h": "", "include/generated/a.h": ""},
			"include/linux/kconfig.h include/generated/autoconf.h include/generated/a.h"},
		{"what is under a condition, what is not there, what is in a text", map[string]string{
			"include/linux/types.h": "#ifdef X\n" + includes("x.h", "gone.h") + "#endif\n" + strings.Repeat("x", 70_000) + "\n#include <y.h>", "include/x.h": "", "include/y.h": "", "include/w.h": "",
		}, "include/linux/types.h include/x.h include/y.h include/w.h"},
		{"no way out", map[string]string{"include/linux/types.h": includes("../../x.h", `"../../../../../../include/y.h"`, "/include/z.h"), "include/y.h": "", "include/a.h": ""},
			"include/linux/types.h include/a.h include/y.h"},
		{"links come with the rest", map[string]string{"include/linux/types.h": includes("l.h", "m.h"), "include/l.h": "->a.h", "include/a.h": "", "include/m.h": "", "include/config/auto.conf": ""},
			"include/linux/types.h include/m.h include/a.h include/config/auto.conf include/l.h"},
	} {
		t.Run(test.name, func(t *testing.T) {
			content := map[string][]byte{}
			for name, text := range test.layout {
				if !strings.HasPrefix(text, "->") {
					content[name] = []byte(text)
				}
			}
			read := func(name string, limit int) (int, []Include, bool) {
				text, ok := content[name]
				return len(text), Includes(text), ok && len(text) <= limit
			}
			names := slices.Collect(maps.Keys(test.layout))
			got, hot := Order(names, "x86", read)
			if s := strings.Join(got, " "); s != test.want && !strings.HasPrefix(s, test.want+" ") {
				t.Errorf("got  %s\nwant %s", s, test.want)
			}
			if hot > len(got) || !slices.IsSorted(got[hot:]) {
				t.Errorf("%d of %d are hot", hot, len(got))
			}
			for range 5 {
				if again, _ := Order(names, "x86", read); !slices.Equal(again, got) {
					t.Fatalf("another time it is %s", again)
				}
			}
			slices.Sort(got)
			if n := len(got); n != len(names) || len(slices.Compact(got)) != n {
				t.Errorf("%d names, some more than once, of %d members", n, len(names))
			}
		})
	}
}

// TestLimits includes more than may be hot: what goes beyond comes with the rest.
func TestLimits(t *testing.T) {
	for name, size := range map[string]int{"files": 1, "bytes": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			content := map[string][]byte{"include/linux/types.h": []byte(includes("0.h"))}
			for i := range MaxHotFiles + 10 {
				content[fmt.Sprintf("include/%d.h", i)] = []byte(includes(fmt.Sprintf("%d.h", i+1)) + strings.Repeat("x", size))
				if size > 1 && i == 20 {
					break
				}
			}
			got, hot := Order(slices.Collect(maps.Keys(content)), "x86", func(name string, limit int) (int, []Include, bool) {
				text, ok := content[name]
				return len(text), Includes(text), ok && len(text) <= limit
			})
			total := 0
			for _, name := range got[:hot] {
				total += len(content[name])
			}
			if len(got) != len(content) || hot == len(got) || hot > MaxHotFiles || total > MaxHotBytes || hot < 10 {
				t.Errorf("%d of %d files are hot, %d bytes", hot, len(got), total)
			}
		})
	}
}

// TestHostile includes a file that is too large again and again, and more files
// that aren't there than a kernel has: neither is asked for without end.
func TestHostile(t *testing.T) {
	var b strings.Builder
	for i := range 2 * MaxDirectives {
		if i%2 == 0 {
			b.WriteString("#include <large.h>\n")
		} else {
			fmt.Fprintf(&b, "#include <%d>\n", i)
		}
	}
	lines := Includes([]byte(b.String()))
	asked := map[string]int{}
	got, hot := Order([]string{"include/linux/types.h", "include/large.h"}, "x86", func(name string, limit int) (int, []Include, bool) {
		asked[name]++
		switch {
		case name == "include/linux/types.h":
			return b.Len(), lines, b.Len() <= limit
		case name == "include/large.h" && limit > MaxHotBytes:
			t.Error("no limit")
		}
		return 0, nil, false
	})
	if asked["include/large.h"] != 1 || len(asked) > 8*MaxDirectives {
		t.Errorf("asked for %d files, for the large one %d times", len(asked), asked["include/large.h"])
	}
	if want := []string{"include/linux/types.h", "include/large.h"}; hot != 1 || !slices.Equal(got, want) {
		t.Errorf("%d are hot of %q", hot, got)
	}
}
