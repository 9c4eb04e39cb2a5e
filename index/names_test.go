// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// Each list of members gives the tree in want, or an error with the text after "! ".
func TestNames(t *testing.T) {
	type members = []tartest.Member
	for _, test := range []struct {
		name    string
		members members
		want    string
	}{
		{"nothing", nil, ""},
		{"only the top", members{tartest.Dir("./")}, ""},
		{"one file", members{tartest.File("a", "x")}, "a=x"},
		{"stripped ./", members{tartest.Dir("./"), tartest.Dir("./a/"), tartest.File("./a/b", "x"), tartest.File("././a//c", "y")}, "a/ a/b=x a/c=y"},
		{"implicit directories", members{tartest.File("a/b/c", "x")}, "a/ a/b/ a/b/c=x"},
		{"sorted by bytes", members{tartest.File("b", ""), tartest.File("a.c", ""), tartest.Dir("a"), tartest.File("a/z", ""), tartest.File("B", ""), tartest.File("é", "")}, "B= a/ a/z= a.c= b= é="},
		{"three dots", members{tartest.File(".../..a", "x")}, ".../ .../..a=x"},
		{"symbolic links", members{tartest.Symlink("l", "nowhere"), tartest.Symlink("m", "../../etc/passwd"), tartest.Symlink("n", "/abs")}, "l->nowhere m->../../etc/passwd n->/abs"},
		{"modes", members{tartest.File("a", "").Mode(0), tartest.File("b", "").Mode(0o100), tartest.File("c", "").Mode(0o4011), tartest.File("d", "").Mode(0o666),
			tartest.Dir("e").Mode(0), tartest.Symlink("f", "x").Mode(0)}, "a= b*= c*= d= e/ f->x"},
		{"a name that ends in a slash", members{tartest.Raw(tartest.Header(0, "a/", 0, nil))}, "a/"},

		{"absolute", members{tartest.File("/a", "x")}, `! "/a": absolute name`},
		{"dot dot", members{tartest.File("a/../b", "x")}, `! ".." in a name`},
		{"dot dot first", members{tartest.Dir("..")}, `! ".." in a name`},
		{"no name", members{tartest.Raw(tartest.Header('0', "", 0, tartest.Ustar))}, "! empty name"},
		{"NUL in a pax name", members{tartest.Raw(tartest.Pax("path=a\x00b"), tartest.Header('0', "a", 0, tartest.Ustar))}, "! tar: "},
		{"NUL in a pax target", members{tartest.Raw(tartest.Pax("linkpath=a\x00b"), tartest.Header('2', "a", 0, tartest.Ustar))}, "! tar: "},
		{"a file as the top", members{tartest.Raw(tartest.Header('0', "./", 0, tartest.Ustar))}, `! "./": the top directory is not a directory`},
		{"a file as the top", members{tartest.File(".", "")}, "! the top directory is not a directory"},
		{"a link as the top", members{tartest.Symlink(".", "x")}, "! the top directory is not a directory"},
		{"a symbolic link to nothing", members{tartest.Raw(tartest.Header('2', "l", 0, tartest.Ustar))}, "! symbolic link without a target"},

		{"FIFO", members{tartest.Special("p", tar.TypeFifo)}, `! "p": devices and FIFOs are not supported`},
		{"character device", members{tartest.Special("p", tar.TypeChar)}, "! devices and FIFOs are not supported"},
		{"block device", members{tartest.Special("p", tar.TypeBlock)}, "! devices and FIFOs are not supported"},
		{"multi-volume", members{tartest.Raw(tartest.Header('M', "a", 0, tartest.GNU))}, "! members of type 'M' are not supported"},
		{"volume label", members{tartest.Raw(tartest.Header('V', "a", 0, tartest.GNU))}, "! members of type 'V' are not supported"},
		{"old GNU sparse", members{tartest.Raw(tartest.Header('S', "a", 0, func(b []byte) { tartest.GNU(b); copy(b[483:], "00000000000\x00") }))}, "! sparse files are not supported"},
		{"pax sparse 0.1", members{tartest.Raw(tartest.Pax("GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=b", "GNU.sparse.size=9",
			"GNU.sparse.numblocks=1", "GNU.sparse.map=0,1"), tartest.Header('0', "a", 1, tartest.Ustar), tartest.Padded("x"))}, "! sparse files are not supported"},
		{"pax sparse 1.0", members{tartest.Raw(tartest.Pax("GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=b", "GNU.sparse.realsize=9"),
			tartest.Header('0', "a", 512, tartest.Ustar), tartest.Padded("1\n0\n0\n"))}, "! sparse files are not supported"},

		{"file replaces file", members{tartest.File("a", "x"), tartest.File("a", "yy")}, "a=yy"},
		{"file replaces link", members{tartest.Symlink("a", "x"), tartest.File("a", "y")}, "a=y"},
		{"link replaces file", members{tartest.File("a", "y"), tartest.Symlink("a", "x")}, "a->x"},
		{"link replaces link", members{tartest.Symlink("a", "y"), tartest.Symlink("a", "x")}, "a->x"},
		{"directory again", members{tartest.Dir("a"), tartest.File("a/b", "x"), tartest.Dir("a")}, "a/ a/b=x"},
		{"directory replaces file", members{tartest.File("a", "y"), tartest.Dir("a"), tartest.File("a/b", "x")}, "a/ a/b=x"},
		{"directory replaces link", members{tartest.Symlink("a", "y"), tartest.Dir("a"), tartest.File("a/b", "x")}, "a/ a/b=x"},
		{"file replaces empty directory", members{tartest.Dir("a"), tartest.File("a", "x")}, "a=x"},
		{"link replaces empty directory", members{tartest.Dir("a"), tartest.Symlink("a", "x")}, "a->x"},
		{"replaced again and again", members{tartest.Dir("a"), tartest.File("a", "x"), tartest.Dir("a"), tartest.Symlink("a", "y"), tartest.Dir("a"), tartest.File("a/b", "z")}, "a/ a/b=z"},
		{"file in place of a full directory", members{tartest.File("a/b", "x"), tartest.File("a", "y")}, `! "a": replaces a directory that is not empty`},
		{"link in place of a full directory", members{tartest.Dir("a"), tartest.Dir("a/b"), tartest.Symlink("a", "y")}, "! replaces a directory that is not empty"},
		{"hard link in place of a full directory", members{tartest.File("a/b", "x"), tartest.Hardlink("a", "a/b")}, "! replaces a directory that is not empty"},
		{"below a file", members{tartest.File("a", "x"), tartest.File("a/b", "y")}, `! "a/b": lies below "a", which is not a directory`},
		{"below a link", members{tartest.Dir("d"), tartest.Symlink("a", "d"), tartest.File("a/b", "y")}, `! lies below "a", which is not a directory`},
		{"far below a link", members{tartest.Symlink("a", "."), tartest.File("a/b/c/d", "y")}, `! lies below "a", which is not a directory`},

		{"hard link", members{tartest.File("a", "x"), tartest.Hardlink("b", "a")}, "a=x#2 b=x#2"},
		{"hard link with ./", members{tartest.File("./d/a", "x"), tartest.Hardlink("./b", "./d/a"), tartest.Hardlink("d/c", "d//a")}, "b=x#3 d/ d/a=x#3 d/c=x#3"},
		{"hard link to a hard link", members{tartest.File("c", "x"), tartest.Hardlink("b", "c"), tartest.Hardlink("a", "b")}, "a=x#3 b=x#3 c=x#3"},
		{"hard link to a symbolic link", members{tartest.Symlink("a", "x"), tartest.Hardlink("b", "a")}, "a->x#2 b->x#2"},
		{"hard link stays with the old file", members{tartest.File("a", "x"), tartest.Hardlink("b", "a"), tartest.File("a", "y")}, "a=y b=x"},
		{"and others with it", members{tartest.File("a", "x"), tartest.Hardlink("b", "a"), tartest.Hardlink("c", "a"), tartest.File("a", "y"), tartest.Hardlink("d", "a")}, "a=y#2 b=x#2 c=x#2 d=y#2"},
		{"hard link replaces file", members{tartest.File("a", "x"), tartest.File("b", "y"), tartest.Hardlink("b", "a")}, "a=x#2 b=x#2"},
		{"hard link replaces empty directory", members{tartest.File("a", "x"), tartest.Dir("b"), tartest.Hardlink("b", "a")}, "a=x#2 b=x#2"},
		{"hard link to itself", members{tartest.File("a", "x"), tartest.Hardlink("a", "a")}, "a=x"},
		{"last name goes", members{tartest.File("a", "x"), tartest.Hardlink("b", "a"), tartest.File("a", "y"), tartest.File("b", "z")}, "a=y b=z"},
		{"hard link's own mode", members{tartest.File("a", "x").Mode(0o755), tartest.Hardlink("b", "a").Mode(0o644)}, "a*=x#2 b*=x#2"},
		{"hard link to nothing", members{tartest.Hardlink("b", "a")}, `! "b": hard link to "a", which does not exist before it`},
		{"hard link to what comes later", members{tartest.Hardlink("b", "a"), tartest.File("a", "x")}, "! which does not exist before it"},
		{"hard link below a file", members{tartest.File("a", "x"), tartest.Hardlink("b", "a/c")}, "! which does not exist before it"},
		{"hard link through a link", members{tartest.File("d/a", "x"), tartest.Symlink("l", "d"), tartest.Hardlink("b", "l/a")}, "! which does not exist before it"},
		{"hard link to a directory", members{tartest.Dir("a"), tartest.Hardlink("b", "a")}, `! hard link to the directory "a"`},
		{"hard link to the top", members{tartest.Hardlink("b", "./")}, `! hard link to the directory "./"`},
		{"hard link out", members{tartest.Hardlink("b", "../a")}, `! target of the hard link: ".." in a name`},
		{"hard link to absolute name", members{tartest.File("a", "x"), tartest.Hardlink("b", "/a")}, "! target of the hard link: absolute name"},
		{"hard link to empty name", members{tartest.Raw(tartest.Header('1', "b", 0, tartest.Ustar))}, "! target of the hard link: empty name"},
		{"hard link as the top", members{tartest.File("a", "x"), tartest.Hardlink(".", "a")}, "! the top directory is not a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, err := treeOf(tartest.Tar(t, test.members...))
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

// Hard links have the inode of their first name in the order of the table.
func TestInodes(t *testing.T) {
	tree, err := treeOf(tartest.Tar(t, tartest.File("z", "1"), tartest.Hardlink("d/x", "z"), tartest.Hardlink("b", "z"), tartest.File("z", "2"), tartest.File("d/a", "3"), tartest.Hardlink("c", "d/a")))
	must(t, err)
	checkTree(t, tree)
	ino := func(path string) ID {
		id, ok := tree.Find(path)
		if !ok {
			t.Fatalf("%s does not exist", path)
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

// Directories without a member get the newest time of what lies below them.
func TestTimes(t *testing.T) {
	tree, err := treeOf(tartest.Tar(t,
		tartest.File("a/b/c", "").At(5), tartest.File("a/d", "").At(3), tartest.Symlink("a/b/e", "x").At(9),
		tartest.Dir("n").At(-7), tartest.File("n/m/f", "").At(100), tartest.Dir("q/r").At(50), tartest.File("q/r/s", "").At(60),
		tartest.File("old", "").At(-100), tartest.Dir("late").At(1), tartest.File("late/x", "").At(2), tartest.Dir("late").At(3),
		tartest.Raw(tartest.Pax("mtime=-1.25"), tartest.Header('0', "early", 0, tartest.Ustar)),
		tartest.Raw(tartest.Pax("mtime=1700000000.123456789"), tartest.Header('0', "fine", 0, tartest.Ustar)),
		tartest.Raw(tartest.Header('0', "epoch", 0, func(b []byte) { copy(b[136:], "00000000000\x00") }))))
	must(t, err)
	checkTree(t, tree)
	for path, want := range map[string]int64{
		"a": 9, "a/b": 9, "a/b/c": 5, "a/d": 3, "n": -7, "n/m": 100, "q": 60, "q/r": 50, "old": -100, "late": 3,
		".": 100, "early": -2 - tartest.Time.Unix(), "fine": 0, "epoch": -tartest.Time.Unix(),
	} {
		id, ok := tree.Find(path)
		if got := tree.Entry(id).Sec - tartest.Time.Unix(); !ok || got != want {
			t.Errorf("%s: %d seconds later, want %d", path, got, want)
		}
	}
	for path, want := range map[string]uint32{"early": 750_000_000, "fine": 123_456_789, "old": 0} {
		id, _ := tree.Find(path)
		if got := tree.Entry(id).Nsec; got != want {
			t.Errorf("%s: %d nanoseconds, want %d", path, got, want)
		}
	}
	tree, err = treeOf(tartest.Tar(t))
	must(t, err)
	if e := tree.Entry(Root); e.Sec != 0 || e.Nlink != 2 {
		t.Errorf("the top of nothing: %+v", e)
	}
}
