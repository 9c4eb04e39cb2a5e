// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// The rule of the kernel's build (kernel/gen_kheaders.sh) as a regular
// expression, for texts with their length in front of each.
const kernelRule = `
	binmode STDIN; binmode STDOUT;
	while (read(STDIN, my $n, 4) == 4) {
		read(STDIN, $_ = "", unpack("N", $n));
		s{/\*(?:(?!SPDX).)*?\*/}{}gs;
		print pack("N", length), $_;
	}`

// stripped returns what the kernel's build makes of texts.
func stripped(t *testing.T, texts [][]byte) (all [][]byte) {
	t.Helper()
	var in []byte
	for _, text := range texts {
		in = append(binary.BigEndian.AppendUint32(in, uint32(len(text))), text...)
	}
	out := unpack(t, in, "perl", "-e", kernelRule)
	for len(out) >= 4 {
		n := binary.BigEndian.Uint32(out)
		all = append(all, out[4:][:n])
		out = out[4+n:]
	}
	if len(all) != len(texts) {
		t.Fatalf("perl returns %d texts of %d", len(all), len(texts))
	}
	return all
}

func compareStripped(t *testing.T, texts [][]byte) {
	t.Helper()
	for i, want := range stripped(t, texts) {
		if got := stripComments(texts[i]); !bytes.Equal(got, want) {
			t.Errorf("%.200q: got\n%.200q, want\n%.200q", texts[i], got, want)
		}
	}
}

var commentTable = []struct{ in, want string }{
	{"", ""},
	{"a", "a"},
	{"/", "/"},
	{"/*", "/*"},
	{"*/", "*/"},
	{"/*/", "/*/"},
	{"/**/", ""},
	{"/***/", ""},
	{"/*/*/", ""},
	{"/*//*/", ""},
	{"//**/", "/"},
	{"/*/ x */", ""},
	{"a/*b*/c", "ac"},
	{"a/*b\nc*/d\n", "ad\n"},
	{"/*a*//*b*/", ""},
	{"/*a*/*b*/", "*b*/"},
	{"/**//**/*/", "*/"},
	{"/*a*/b*/", "b*/"},
	{"a/*b", "a/*b"},
	{"a/*b*/c/*d", "ac/*d"},
	{"/*/*a*/*/", "*/"},
	{"/* a /* b */ c */", " c */"},
	{"//*a*/b\n// c */", "/b\n// c */"},
	// What is left may look like a comment that wasn't there.
	{"//**/* a */", "/* a */"},
	// Strings and // comments are not known.
	{`char *s = "/* no comment */";`, `char *s = "";`},
	{`"/*" x "*/"`, `""`},
	{"// /* \n x */\n", "// \n"},
	{"#include <a/*.h>\n#include <b*/c>", "#include <ac>"},
	// Licences stay.
	{"/* SPDX */", "/* SPDX */"},
	{"/*SPDX*/", "/*SPDX*/"},
	{"/* SPDX-License-Identifier: GPL-2.0 */\n/* a */b", "/* SPDX-License-Identifier: GPL-2.0 */\nb"},
	{"/* spdx */", ""},
	{"/* SPD*/X", "X"},
	{"/*SPD*/X */", "X */"},
	{"/* S P D X */", ""},
	{"SPDX/* a */SPDX", "SPDXSPDX"},
	{"/* SPDX", "/* SPDX"},
	{"/* SPDX */ a /* b */", "/* SPDX */ a "},
	{"/* a */ SPDX /* b */", " SPDX "},
	{"/* a SPDX b */ c */", "/* a SPDX b */ c */"},
	// A comment with a licence has no beginning: one inside it may.
	{"/* SPDX /* a */ b", "/* SPDX  b"},
	{"/* SPDX /* a */ b */", "/* SPDX  b */"},
	{"/* a /* SPDX */ b", "/* a /* SPDX */ b"},
	{"/* a /* SPDX /* b */ c", "/* a /* SPDX  c"},
	{"/*/* SPDX */*/", "/*/* SPDX */*/"},
	{"/* SPDX *//* a */", "/* SPDX */"},
	{"/* SPDX */*a*/", "/* SPDX *"},
	{"/*SPDX/**/", "/*SPDX"},
	{"/*SPDX/*/ */", "/*SPDX"},
	// Bytes are bytes.
	{"a\r\n/* b\r\n * c\r\n */\r\nd\r\n", "a\r\n\r\nd\r\n"},
	{"\x00/*\x00*/\x00", "\x00\x00"},
	{"\xff/*\xfe\xc3*/\xc3", "\xff\xc3"},
	{"é/*ü*/ö", "éö"},
	{"/*\u2028*/\u2028", "\u2028"},
}

func TestStripComments(t *testing.T) {
	var texts [][]byte
	for _, test := range commentTable {
		if got := stripComments([]byte(test.in)); string(got) != test.want {
			t.Errorf("%q: got %q, want %q", test.in, got, test.want)
		}
		texts = append(texts, []byte(test.in))
	}
	compareStripped(t, texts)
}

// Random texts of all pieces that matter to the rule.
func TestStripCommentsRandom(t *testing.T) {
	pieces := []string{"/*", "*/", "SPDX", "/", "*", "x", "\n"}
	rnd := rand.New(rand.NewPCG(1, 1))
	var texts [][]byte
	for range 10_000 {
		var b strings.Builder
		for range rnd.IntN(24) {
			b.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		texts = append(texts, []byte(b.String()))
	}
	// A comment may be longer than what some regular expressions reach.
	for _, n := range []int{1 << 15, 1 << 16, 1 << 18} {
		texts = append(texts, []byte("a/*"+strings.Repeat("x", n)+"*/b"))
	}
	compareStripped(t, texts)
}

// What looks like many comments around a licence takes no longer than others: when
// each of them was searched for it, this took hours.
func TestStripCommentsLinear(t *testing.T) {
	in := []byte(strings.Repeat("/* ", 1<<20) + "SPDX */")
	if out := stripComments(in); !bytes.Equal(out, in) {
		t.Error("something is gone")
	}
}

// The headers of Debian's kernel.
func TestStripCommentsKernel(t *testing.T) {
	need.Long(t)
	need.Command(t, "dpkg", "apt-get")
	found, err := exec.Command("../../tests/headers.sh", "../../tests/out/headers").Output()
	need.That(t, err == nil, "Debian's package of kernel headers: %v", err)
	var texts [][]byte
	for _, dir := range []string{filepath.Dir(strings.TrimSpace(string(found)))} {
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, ".h") {
				return err
			}
			b, err := os.ReadFile(path)
			texts = append(texts, b)
			return err
		}))
	}
	compareStripped(t, texts)
	t.Logf("%d headers", len(texts))
}

// FuzzStripComments strips any bytes. The result is part of them and keeps every
// licence, and bytes without a comment stay the same.
func FuzzStripComments(f *testing.F) {
	for _, test := range commentTable {
		f.Add([]byte(test.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 1<<16 {
			return
		}
		before := bytes.Clone(in)
		out := stripComments(in)
		if !bytes.Equal(in, before) {
			t.Error("the text itself was changed")
		}
		rest := in
		for i, c := range out {
			n := bytes.IndexByte(rest, c)
			if n < 0 {
				t.Fatalf("byte %d, %q, is not from the text", i, c)
			}
			rest = rest[n+1:]
		}
		if bytes.Count(out, []byte("SPDX")) < bytes.Count(in, []byte("SPDX")) {
			t.Error("a licence is gone")
		}
		if !bytes.Contains(in, []byte("/*")) && !bytes.Equal(in, out) {
			t.Error("something is gone, and nothing was a comment")
		}
	})
}
