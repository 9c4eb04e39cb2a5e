// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// The formats that a tar can have.
func TestFormats(t *testing.T) {
	long := strings.Repeat("directory/", 20) + strings.Repeat("f", 120)
	target := strings.Repeat("../", 50) + strings.Repeat("t", 120)
	body := text(1, 1000)
	for _, test := range []struct {
		name    string
		members []member
		want    string
	}{
		{"v7", []member{raw(rawHeader(0, "d/", 0, nil)), raw(rawHeader(0, "d/f", 1000, nil), padded(body)), raw(rawHeader('1', "h", 0, func(b []byte) { copy(b[157:], "d/f") })),
			raw(rawHeader('2', "l", 0, func(b []byte) { copy(b[157:], "to") }))}, "d/ d/f=" + body + "#2 h=" + body + "#2 l->to"},
		{"ustar", []member{dir("d").as(tar.FormatUSTAR), file("d/f", body).as(tar.FormatUSTAR), symlink("l", "to").as(tar.FormatUSTAR)}, "d/ d/f=" + body + " l->to"},
		{"ustar prefix", []member{raw(rawHeader('0', "f", 0, func(b []byte) { ustar(b); copy(b[345:], "a/b") }))}, "a/ a/b/ a/b/f="},
		{"old GNU", []member{raw(rawHeader('0', "f", 0, func(b []byte) { gnu(b); copy(b[345:], "14524770000\x00") }))}, "f="},
		{"contiguous file", []member{raw(rawHeader('7', "f", 2, ustar), padded("xy"))}, "f=xy"},
		{"GNU long names", []member{file(long, "x").as(tar.FormatGNU), symlink("l", target).as(tar.FormatGNU), hardlink("h", long).as(tar.FormatGNU)}, "?" + long + "=x#2"},
		{"pax long names", []member{file(long, "x").as(tar.FormatPAX), symlink("l", target).as(tar.FormatPAX), hardlink("h", long).as(tar.FormatPAX)}, "?" + long + "=x#2"},
		{"pax size", []member{raw(paxHeader("size=2"), rawHeader('0', "f", 0, ustar), padded("xy")), file("g", "z")}, "f=xy g=z"},
		{"pax xattr", []member{raw(paxHeader("SCHILY.xattr.user.x=y", "comment=z"), rawHeader('0', "f", 0, ustar))}, "f="},
		{"global header", []member{raw(paxBlocks('g', "comment="+text(2, 3000))), file("f", "x"), raw(paxBlocks('g', "path=evil")), file("g", "y")}, "f=x g=y"},
		{"only a global header", []member{raw(paxBlocks('g', "comment=x"))}, ""},
		{"a header that is no header", []member{file("f", "x"), raw(bytes.Repeat([]byte("z"), tarBlock))}, "! tar: archive/tar: invalid tar header"},
		{"a checksum that doesn't match", []member{raw(append([]byte("x"), rawHeader('0', "f", 0, ustar)[1:]...))}, "! tar: archive/tar: invalid tar header"},
		{"a negative size", []member{raw(rawHeader('0', "f", 0, func(b []byte) { gnu(b); copy(b[124:], strings.Repeat("\xff", 12)) }))}, "! tar: archive/tar: invalid tar header"},
		{"more than the limit of bytes", []member{raw(rawHeader('0', "f", xz.MaxUnpacked+1, ustar))}, `! tar: "f": more than the limit of 1073741824 bytes`},
		{"2^62 bytes", []member{raw(rawHeader('0', "f", 0, func(b []byte) { gnu(b); copy(b[124:], "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00") }))}, "! more than the limit of 1073741824 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, err := treeOf(tarOf(t, test.members...))
			if want, fails := strings.CutPrefix(test.want, "! "); fails {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
				return
			}
			must(t, err)
			checkTree(t, tree)
			got := show(t, tree)
			if want, part := strings.CutPrefix(test.want, "?"); part && strings.Contains(got, want) && strings.HasSuffix(got, "l->"+target) {
				return
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// Each limit, at it and one beyond.
func TestLimits(t *testing.T) {
	name := func(n int) string { return strings.Repeat("n", n) }
	deep := func(n int) string { return strings.Repeat("d/", n-1) + "f" }
	path := strings.Repeat(name(255)+"/", 15) // 3840 bytes
	for _, test := range []struct {
		name     string
		at, over []member
		want     string
	}{
		{"name", []member{file(name(255), "")}, []member{file(name(256), "")}, "a name of 256 bytes, more than the limit of 255"},
		{"directory name", []member{file(name(255)+"/f", "")}, []member{file(name(256)+"/f", "")}, "a name of 256 bytes, more than the limit of 255"},
		{"path", []member{file(path+name(255), "")}, []member{file("./"+path+name(254), "")}, "a name of 4096 bytes, more than the limit of 4095"},
		{"target", []member{symlink("l", name(4095))}, []member{symlink("l", name(4096))}, "a symbolic link to a name of 4096 bytes, more than the limit of 4095"},
		{"depth", []member{file(deep(128), "")}, []member{file(deep(129), "")}, "129 directories deep, more than the limit of 128"},
		{"target of a hard link", []member{file(name(255), ""), hardlink("h", name(255))}, []member{hardlink("h", name(256))}, "target of the hard link: a name of 256 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, err := treeOf(tarOf(t, test.at...))
			if err != nil {
				t.Errorf("at the limit: %v", err)
			} else {
				checkTree(t, tree)
			}
			if _, err := treeOf(tarOf(t, test.over...)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("beyond the limit: %v, want %s", err, test.want)
			}
		})
	}
}

func TestEntryLimit(t *testing.T) {
	b := newBuilder()
	empty := &inode{kind: kindFile}
	for i := range maxEntries - 2 { // the top is one, too
		must(t, b.add(fmt.Sprint(i), empty))
	}
	const want = "more than the limit of 262144 entries"
	if err := b.add("d/f", empty); err == nil || err.Error() != want { // the directory is the last one
		t.Errorf("got %v, want %s", err, want)
	}
	must(t, b.add("0", &inode{kind: kindDir}))
	if err := b.link("h", "1"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if tree := b.finish(); tree.Len() != maxEntries {
		t.Errorf("%d entries", tree.Len())
	}
}

// Nobody may take the beginning of an archive for the whole of it.
func TestEnd(t *testing.T) {
	const cut = "the end-of-archive marker is missing"
	members := []member{dir("d"), file("d/f", "x"), file("zeros", string(make([]byte, 5*tarBlock+100)))}
	whole := tarOf(t, members...)
	body := whole[:len(whole)-2*tarBlock]
	zeros := func(n int) []byte { return make([]byte, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, test := range []struct {
		name string
		tar  []byte
		want string
	}{
		{"whole", whole, ""},
		{"only a marker", zeros(2 * tarBlock), ""},
		{"padded to a record", append(bytes.Clone(whole), zeros(10240)...), ""},
		{"garbage behind", append(bytes.Clone(whole), text(1, 700)...), ""},
		{"another tar behind", join(whole, tarOf(t, file("g", "x"))), ""},
		{"nothing", nil, cut},
		{"no marker", body, cut},
		{"one block of zeros", join(body, zeros(tarBlock)), cut},
		{"one block and a half", join(body, zeros(tarBlock+100)), "unexpected EOF"},
		{"two blocks but for a byte", join(body, zeros(2*tarBlock-1)), "unexpected EOF"},
		{"one block, then garbage", join(body, zeros(tarBlock), []byte(text(1, 512))), "invalid tar header"},
		{"half a block", join(body, zeros(100)), "unexpected EOF"},
		{"cut between members", body[:2*tarBlock+tarBlock], cut},
		{"cut in a header", body[:tarBlock+100], "unexpected EOF"},
		{"cut in a file of zeros", body[:len(body)-2*tarBlock], "unexpected EOF"},
		{"cut in the padding of a file of zeros", body[:len(body)-1], cut},
		{"cut behind an extended header", paxHeader("path=x"), cut},
		{"cut behind a long name", rawHeader('L', "x", 100, gnu), "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := treeOf(test.tar); test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			_, err := Open(xzOf(t, test.tar, 0))
			if (err == nil) != (test.want == "") {
				t.Errorf("packed: got %v, want %q", err, test.want)
			}
		})
	}
	// Cut at every byte: there is only one end.
	for n := range len(whole) {
		if _, err := treeOf(whole[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes, and no error", n, len(whole))
		}
	}
}

// An error of what the tar is read from is passed on.
func TestReadError(t *testing.T) {
	whole := tarOf(t, file("a", text(1, 2000)), file("b", "x"))
	oops := errors.New("oops")
	for n := range len(whole) {
		b := newBuilder()
		r := io.MultiReader(bytes.NewReader(whole[:n]), errReader{oops})
		if err := readTar(r, b, newWriteSink(io.Discard)); !errors.Is(err, oops) {
			t.Errorf("an error at byte %d: %v", n, err)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
