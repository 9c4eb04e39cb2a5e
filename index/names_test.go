// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"fmt"
	"strings"
	"testing"
)

// What a row of members makes. An error holds what is behind "! ".
func TestNames(t *testing.T) {
	type members = []member
	for _, test := range []struct {
		name    string
		members members
		want    string
	}{
		{"nothing", nil, ""},
		{"only the top", members{dir("./")}, ""},
		{"one file", members{file("a", "x")}, "a=x"},
		{"stripped ./", members{dir("./"), dir("./a/"), file("./a/b", "x"), file("././a//c", "y")}, "a/ a/b=x a/c=y"},
		{"implicit directories", members{file("a/b/c", "x")}, "a/ a/b/ a/b/c=x"},
		{"sorted by bytes", members{file("b", ""), file("a.c", ""), dir("a"), file("a/z", ""), file("B", ""), file("é", "")}, "B= a/ a/z= a.c= b= é="},
		{"three dots", members{file(".../..a", "x")}, ".../ .../..a=x"},
		{"symbolic links", members{symlink("l", "nowhere"), symlink("m", "../../etc/passwd"), symlink("n", "/abs")}, "l->nowhere m->../../etc/passwd n->/abs"},
		{"modes", members{file("a", "").mode(0), file("b", "").mode(0o100), file("c", "").mode(0o4011), file("d", "").mode(0o666),
			dir("e").mode(0), symlink("f", "x").mode(0)}, "a= b*= c*= d= e/ f->x"},
		{"a name that ends in a slash", members{raw(rawHeader(0, "a/", 0, nil))}, "a/"},

		{"absolute", members{file("/a", "x")}, `! "/a": an absolute name`},
		{"dot dot", members{file("a/../b", "x")}, "! a .. in its name"},
		{"dot dot first", members{dir("..")}, "! a .. in its name"},
		{"no name", members{raw(rawHeader('0', "", 0, ustar))}, "! an empty name"},
		{"NUL in a pax name", members{raw(paxHeader("path=a\x00b"), rawHeader('0', "a", 0, ustar))}, "! tar: "},
		{"NUL in a pax target", members{raw(paxHeader("linkpath=a\x00b"), rawHeader('2', "a", 0, ustar))}, "! tar: "},
		{"a file as the top", members{raw(rawHeader('0', "./", 0, ustar))}, `! "./": the name of the top directory, but not a directory`},
		{"a file as the top", members{file(".", "")}, "! the name of the top directory, but not a directory"},
		{"a link as the top", members{symlink(".", "x")}, "! the name of the top directory, but not a directory"},
		{"a symbolic link to nothing", members{raw(rawHeader('2', "l", 0, ustar))}, "! a symbolic link to an impossible name"},

		{"FIFO", members{special("p", tar.TypeFifo)}, `! "p": a device or FIFO, which has no place among headers`},
		{"character device", members{special("p", tar.TypeChar)}, "! a device or FIFO"},
		{"block device", members{special("p", tar.TypeBlock)}, "! a device or FIFO"},
		{"multi-volume", members{raw(rawHeader('M', "a", 0, gnu))}, "! a member of type 'M', which is not supported"},
		{"volume label", members{raw(rawHeader('V', "a", 0, gnu))}, "! a member of type 'V', which is not supported"},
		{"old GNU sparse", members{raw(rawHeader('S', "a", 0, func(b []byte) { gnu(b); copy(b[483:], "00000000000\x00") }))}, "! a sparse file, which is not supported"},
		{"pax sparse 0.1", members{raw(paxHeader("GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=b", "GNU.sparse.size=9",
			"GNU.sparse.numblocks=1", "GNU.sparse.map=0,1"), rawHeader('0', "a", 1, ustar), padded("x"))}, "! a sparse file, which is not supported"},
		{"pax sparse 1.0", members{raw(paxHeader("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=b", "GNU.sparse.realsize=9"),
			rawHeader('0', "a", 512, ustar), padded("1\n0\n0\n"))}, "! a sparse file, which is not supported"},

		{"file replaces file", members{file("a", "x"), file("a", "yy")}, "a=yy"},
		{"file replaces link", members{symlink("a", "x"), file("a", "y")}, "a=y"},
		{"link replaces file", members{file("a", "y"), symlink("a", "x")}, "a->x"},
		{"link replaces link", members{symlink("a", "y"), symlink("a", "x")}, "a->x"},
		{"directory again", members{dir("a"), file("a/b", "x"), dir("a")}, "a/ a/b=x"},
		{"directory replaces file", members{file("a", "y"), dir("a"), file("a/b", "x")}, "a/ a/b=x"},
		{"directory replaces link", members{symlink("a", "y"), dir("a"), file("a/b", "x")}, "a/ a/b=x"},
		{"file replaces empty directory", members{dir("a"), file("a", "x")}, "a=x"},
		{"link replaces empty directory", members{dir("a"), symlink("a", "x")}, "a->x"},
		{"to and fro", members{dir("a"), file("a", "x"), dir("a"), symlink("a", "y"), dir("a"), file("a/b", "z")}, "a/ a/b=z"},
		{"file in place of a full directory", members{file("a/b", "x"), file("a", "y")}, `! "a": takes the place of a directory that is not empty`},
		{"link in place of a full directory", members{dir("a"), dir("a/b"), symlink("a", "y")}, "! takes the place of a directory that is not empty"},
		{"hard link in place of a full directory", members{file("a/b", "x"), hardlink("a", "a/b")}, "! takes the place of a directory that is not empty"},
		{"below a file", members{file("a", "x"), file("a/b", "y")}, `! "a/b": lies below "a", which is not a directory`},
		{"below a link", members{dir("d"), symlink("a", "d"), file("a/b", "y")}, `! lies below "a", which is not a directory`},
		{"far below a link", members{symlink("a", "."), file("a/b/c/d", "y")}, `! lies below "a", which is not a directory`},

		{"hard link", members{file("a", "x"), hardlink("b", "a")}, "a=x#2 b=x#2"},
		{"hard link with ./", members{file("./d/a", "x"), hardlink("./b", "./d/a"), hardlink("d/c", "d//a")}, "b=x#3 d/ d/a=x#3 d/c=x#3"},
		{"hard link to a hard link", members{file("c", "x"), hardlink("b", "c"), hardlink("a", "b")}, "a=x#3 b=x#3 c=x#3"},
		{"hard link to a symbolic link", members{symlink("a", "x"), hardlink("b", "a")}, "a->x#2 b->x#2"},
		{"hard link stays with the old file", members{file("a", "x"), hardlink("b", "a"), file("a", "y")}, "a=y b=x"},
		{"and others with it", members{file("a", "x"), hardlink("b", "a"), hardlink("c", "a"), file("a", "y"), hardlink("d", "a")}, "a=y#2 b=x#2 c=x#2 d=y#2"},
		{"hard link replaces file", members{file("a", "x"), file("b", "y"), hardlink("b", "a")}, "a=x#2 b=x#2"},
		{"hard link replaces empty directory", members{file("a", "x"), dir("b"), hardlink("b", "a")}, "a=x#2 b=x#2"},
		{"hard link to itself", members{file("a", "x"), hardlink("a", "a")}, "a=x"},
		{"last name goes", members{file("a", "x"), hardlink("b", "a"), file("a", "y"), file("b", "z")}, "a=y b=z"},
		{"hard link's own mode", members{file("a", "x").mode(0o755), hardlink("b", "a").mode(0o644)}, "a*=x#2 b*=x#2"},
		{"hard link to nothing", members{hardlink("b", "a")}, `! "b": hard link to "a", which is not there (yet)`},
		{"hard link to what comes later", members{hardlink("b", "a"), file("a", "x")}, "! which is not there (yet)"},
		{"hard link below a file", members{file("a", "x"), hardlink("b", "a/c")}, "! which is not there (yet)"},
		{"hard link through a link", members{file("d/a", "x"), symlink("l", "d"), hardlink("b", "l/a")}, "! which is not there (yet)"},
		{"hard link to a directory", members{dir("a"), hardlink("b", "a")}, `! hard link to "a", a directory`},
		{"hard link to the top", members{hardlink("b", "./")}, `! hard link to "./", a directory`},
		{"hard link out", members{hardlink("b", "../a")}, "! target of the hard link: a .. in its name"},
		{"hard link to an absolute name", members{file("a", "x"), hardlink("b", "/a")}, "! target of the hard link: an absolute name"},
		{"hard link to an empty name", members{raw(rawHeader('1', "b", 0, ustar))}, "! target of the hard link: an empty name"},
		{"hard link as the top", members{file("a", "x"), hardlink(".", "a")}, "! the name of the top directory, but not a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, err := treeOf(tarOf(t, test.members...))
			if want, fails := strings.CutPrefix(test.want, "! "); fails {
				if err == nil || !strings.HasPrefix(err.Error(), "tar: ") || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
				return
			}
			must(t, err)
			checkTree(t, tree)
			if got := show(t, tree); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// paxHeader is an extended header for the next member.
func paxHeader(records ...string) []byte {
	return paxBlocks('x', records...)
}

func paxBlocks(typ byte, records ...string) []byte {
	var body string
	for _, r := range records {
		n := len(r) + 3
		for len(fmt.Sprint(n))+len(r)+2 != n {
			n++
		}
		body += fmt.Sprintf("%d %s\n", n, r)
	}
	return append(rawHeader(typ, "pax", len(body), ustar), padded(body)...)
}

// Hard links have the inode of the first name, in the order of the table.
func TestInodes(t *testing.T) {
	tree, err := treeOf(tarOf(t, file("z", "1"), hardlink("d/x", "z"), hardlink("b", "z"), file("z", "2"), file("d/a", "3"), hardlink("c", "d/a")))
	must(t, err)
	checkTree(t, tree)
	ino := func(path string) ID {
		id, ok := tree.Find(path)
		if !ok {
			t.Fatalf("%s isn't there", path)
		}
		return tree.Entry(id).Ino
	}
	if ino("b") != ino("d/x") || ino("c") != ino("d/a") || ino("z") == ino("b") || ino("c") == ino("b") {
		t.Errorf("b %d, d/x %d; c %d, d/a %d; z %d", ino("b"), ino("d/x"), ino("c"), ino("d/a"), ino("z"))
	}
	if want, _ := tree.Find("b"); ino("d/x") != want {
		t.Errorf("the inode is %d, want %d", ino("d/x"), want)
	}
}

// Directories that nobody names get the newest time of what lies below.
func TestTimes(t *testing.T) {
	tree, err := treeOf(tarOf(t,
		file("a/b/c", "").at(5), file("a/d", "").at(3), symlink("a/b/e", "x").at(9),
		dir("n").at(-7), file("n/m/f", "").at(100), dir("q/r").at(50), file("q/r/s", "").at(60),
		file("old", "").at(-100), dir("late").at(1), file("late/x", "").at(2), dir("late").at(3),
		raw(paxHeader("mtime=-1.25"), rawHeader('0', "early", 0, ustar)),
		raw(paxHeader("mtime=1700000000.123456789"), rawHeader('0', "fine", 0, ustar)),
		raw(rawHeader('0', "epoch", 0, func(b []byte) { copy(b[136:], "00000000000\x00") }))))
	must(t, err)
	checkTree(t, tree)
	for path, want := range map[string]int64{
		"a": 9, "a/b": 9, "a/b/c": 5, "a/d": 3, "n": -7, "n/m": 100, "q": 60, "q/r": 50, "old": -100, "late": 3,
		".": 100, "early": -2 - then.Unix(), "fine": 0, "epoch": -then.Unix(),
	} {
		id, ok := tree.Find(path)
		if got := tree.Entry(id).Sec - then.Unix(); !ok || got != want {
			t.Errorf("%s: %d seconds behind, want %d", path, got, want)
		}
	}
	for path, want := range map[string]uint32{"early": 750_000_000, "fine": 123_456_789, "old": 0} {
		id, _ := tree.Find(path)
		if got := tree.Entry(id).Nsec; got != want {
			t.Errorf("%s: %d nanoseconds, want %d", path, got, want)
		}
	}
	tree, err = treeOf(tarOf(t))
	must(t, err)
	if e := tree.Entry(Root); e.Sec != 0 || e.Nlink != 2 {
		t.Errorf("the top of nothing: %+v", e)
	}
}

// Each name and target is within its limit, and all of them together are not.
func TestManyStrings(t *testing.T) {
	b := newBuilder()
	target := strings.Repeat("x", maxTarget)
	var err error
	n := 0
	for ; err == nil && n < maxEntries; n++ {
		err = b.add(fmt.Sprint(n), &inode{kind: kindLink, target: target})
	}
	if err == nil || !strings.Contains(err.Error(), "limit of 16777216 bytes of names and link targets") || n > maxStrings/maxTarget+1 {
		t.Errorf("after %d links: %v", n, err)
	}
}
