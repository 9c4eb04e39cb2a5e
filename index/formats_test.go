// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// The formats that a tar can have.
func TestFormats(t *testing.T) {
	long := strings.Repeat("directory/", 20) + strings.Repeat("f", 120)
	target := strings.Repeat("../", 50) + strings.Repeat("t", 120)
	body := tartest.Text(1, 1000)
	for _, test := range []struct {
		name    string
		members []tartest.Member
		want    string
	}{
		{"v7", []tartest.Member{tartest.Raw(tartest.Header(0, "d/", 0, nil)), tartest.Raw(tartest.Header(0, "d/f", 1000, nil), tartest.Padded(body)), tartest.Raw(tartest.Header('1', "h", 0, func(b []byte) { copy(b[157:], "d/f") })),
			tartest.Raw(tartest.Header('2', "l", 0, func(b []byte) { copy(b[157:], "to") }))}, "d/ d/f=" + body + "#2 h=" + body + "#2 l->to"},
		{"ustar", []tartest.Member{tartest.Dir("d").As(tar.FormatUSTAR), tartest.File("d/f", body).As(tar.FormatUSTAR), tartest.Symlink("l", "to").As(tar.FormatUSTAR)}, "d/ d/f=" + body + " l->to"},
		{"tartest.Ustar prefix", []tartest.Member{tartest.Raw(tartest.Header('0', "f", 0, func(b []byte) { tartest.Ustar(b); copy(b[345:], "a/b") }))}, "a/ a/b/ a/b/f="},
		{"old GNU", []tartest.Member{tartest.Raw(tartest.Header('0', "f", 0, func(b []byte) { tartest.GNU(b); copy(b[345:], "14524770000\x00") }))}, "f="},
		{"contiguous file", []tartest.Member{tartest.Raw(tartest.Header('7', "f", 2, tartest.Ustar), tartest.Padded("xy"))}, "f=xy"},
		{"GNU long names", []tartest.Member{tartest.File(long, "x").As(tar.FormatGNU), tartest.Symlink("l", target).As(tar.FormatGNU), tartest.Hardlink("h", long).As(tar.FormatGNU)}, "?" + long + "=x#2"},
		{"pax long names", []tartest.Member{tartest.File(long, "x").As(tar.FormatPAX), tartest.Symlink("l", target).As(tar.FormatPAX), tartest.Hardlink("h", long).As(tar.FormatPAX)}, "?" + long + "=x#2"},
		{"pax size", []tartest.Member{tartest.Raw(tartest.Pax("size=2"), tartest.Header('0', "f", 0, tartest.Ustar), tartest.Padded("xy")), tartest.File("g", "z")}, "f=xy g=z"},
		{"pax xattr", []tartest.Member{tartest.Raw(tartest.Pax("SCHILY.xattr.user.x=y", "comment=z"), tartest.Header('0', "f", 0, tartest.Ustar))}, "f="},
		{"global header", []tartest.Member{tartest.Raw(tartest.PaxGlobal("comment=" + tartest.Text(2, 3000))), tartest.File("f", "x"), tartest.Raw(tartest.PaxGlobal("path=evil")), tartest.File("g", "y")}, "f=x g=y"},
		{"only a global header", []tartest.Member{tartest.Raw(tartest.PaxGlobal("comment=x"))}, ""},
		{"a header that is no header", []tartest.Member{tartest.File("f", "x"), tartest.Raw(bytes.Repeat([]byte("z"), tarball.Block))}, "! tar: archive/tar: invalid tar header"},
		{"a checksum that doesn't match", []tartest.Member{tartest.Raw(append([]byte("x"), tartest.Header('0', "f", 0, tartest.Ustar)[1:]...))}, "! tar: archive/tar: invalid tar header"},
		{"a negative size", []tartest.Member{tartest.Raw(tartest.Header('0', "f", 0, func(b []byte) { tartest.GNU(b); copy(b[124:], strings.Repeat("\xff", 12)) }))}, "! tar: archive/tar: invalid tar header"},
		{"more than the limit of bytes", []tartest.Member{tartest.Raw(tartest.Header('0', "f", xz.MaxUnpacked+1, tartest.Ustar))}, `! tar: "f": unpacked size exceeds 1 GiB`},
		{"2^62 bytes", []tartest.Member{tartest.Raw(tartest.Header('0', "f", 0, func(b []byte) { tartest.GNU(b); copy(b[124:], "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00") }))}, "! unpacked size exceeds 1 GiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, err := treeOf(tartest.Tar(t, test.members...))
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
		at, over []tartest.Member
		want     string
	}{
		{"name", []tartest.Member{tartest.File(name(255), "")}, []tartest.Member{tartest.File(name(256), "")}, "name exceeds 255 bytes"},
		{"directory name", []tartest.Member{tartest.File(name(255)+"/f", "")}, []tartest.Member{tartest.File(name(256)+"/f", "")}, "name exceeds 255 bytes"},
		{"path", []tartest.Member{tartest.File(path+name(255), "")}, []tartest.Member{tartest.File("./"+path+name(254), "")}, "path exceeds 4095 bytes"},
		{"target", []tartest.Member{tartest.Symlink("l", name(4095))}, []tartest.Member{tartest.Symlink("l", name(4096))}, "symbolic link whose target exceeds 4095 bytes"},
		{"depth", []tartest.Member{tartest.File(deep(128), "")}, []tartest.Member{tartest.File(deep(129), "")}, "more than 128 directories deep"},
		{"target of a hard link", []tartest.Member{tartest.File(name(255), ""), tartest.Hardlink("h", name(255))}, []tartest.Member{tartest.Hardlink("h", name(256))}, "target of the hard link: name exceeds 255 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, err := treeOf(tartest.Tar(t, test.at...))
			if err != nil {
				t.Errorf("at the limit: %v", err)
			} else {
				checkTree(t, tree)
			}
			if _, err := treeOf(tartest.Tar(t, test.over...)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("beyond the limit: %v, want %s", err, test.want)
			}
		})
	}
}
