// SPDX-License-Identifier: Apache-2.0

package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// walk reads all data of a tar, and checks that it lies where Walk says.
func walk(b []byte) error {
	return Walk(bytes.NewReader(b), func(h *tar.Header, r io.Reader, off int64) error {
		data, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(data, b[off:][:h.Size]) {
			err = errors.New("the data lies elsewhere")
		}
		return err
	})
}

// A tar that is cut short is an error.
func TestEnd(t *testing.T) {
	const cut = "end-of-archive marker is missing"
	members := []tartest.Member{tartest.Dir("d"), tartest.File("d/f", "x"), tartest.File("zeros", string(make([]byte, 5*Block+100)))}
	whole := tartest.Tar(t, members...)
	body := whole[:len(whole)-2*Block]
	zeros := func(n int) []byte { return make([]byte, n) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, test := range []struct {
		name string
		tar  []byte
		want string
	}{
		{"whole", whole, ""},
		{"only a marker", zeros(2 * Block), ""},
		{"padded to a record", append(bytes.Clone(whole), zeros(10240)...), ""},
		{"garbage behind", append(bytes.Clone(whole), tartest.Text(1, 700)...), ""},
		{"another tar behind", join(whole, tartest.Tar(t, tartest.File("g", "x"))), ""},
		{"nothing", nil, cut},
		{"no marker", body, cut},
		{"one block of zeros", join(body, zeros(Block)), cut},
		{"one block and a half", join(body, zeros(Block+100)), "unexpected EOF"},
		{"two blocks but for a byte", join(body, zeros(2*Block-1)), "unexpected EOF"},
		{"one block, then garbage", join(body, zeros(Block), []byte(tartest.Text(1, 512))), "invalid tar header"},
		{"half a block", join(body, zeros(100)), "unexpected EOF"},
		{"cut between members", body[:2*Block+Block], cut},
		{"cut in a header", body[:Block+100], "unexpected EOF"},
		{"cut in a file of zeros", body[:len(body)-2*Block], "unexpected EOF"},
		{"cut in the padding of a file of zeros", body[:len(body)-1], cut},
		{"cut behind an extended header", tartest.Pax("path=x"), cut},
		{"cut behind a long name", tartest.Header('L', "x", 100, tartest.GNU), "unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := walk(test.tar); test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	// Cut at every byte.
	for n := range len(whole) {
		if err := walk(whole[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes: no error", n, len(whole))
		}
	}
}

// Walk returns the error of its reader.
func TestReadError(t *testing.T) {
	whole := tartest.Tar(t, tartest.File("a", tartest.Text(1, 2000)), tartest.File("b", "x"))
	oops := errors.New("oops")
	for n := range len(whole) {
		r := io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(oops))
		if err := Walk(r, func(*tar.Header, io.Reader, int64) error { return nil }); !errors.Is(err, oops) {
			t.Errorf("an error at byte %d: %v", n, err)
		}
	}
}

// Walk skips global headers, and its errors name the member.
func TestWalk(t *testing.T) {
	b := tartest.Tar(t, tartest.Raw(tartest.PaxGlobal("comment=x")), tartest.File("a", "1"), tartest.Dir("d/"), tartest.Symlink("l", "a"))
	var names []string
	err := Walk(bytes.NewReader(b), func(h *tar.Header, _ io.Reader, _ int64) error {
		names = append(names, h.Name)
		if h.Name == "l" {
			return errors.New("oops")
		}
		return nil
	})
	if !slices.Equal(names, []string{"a", "d/", "l"}) || err == nil || err.Error() != `tar: "l": oops` {
		t.Errorf("%q, %v", names, err)
	}
}

// A Writer writes the same tar as archive/tar, whatever the size of its blocks. A
// block ends where a member ends, unless the member is larger than a block.
func TestWriter(t *testing.T) {
	members := []tartest.Member{tartest.Dir("./"), tartest.File("a", ""), tartest.File("b", tartest.Text(1, 1)), tartest.Symlink("l", strings.Repeat("x", 300)),
		tartest.Hardlink("h", "b"), tartest.File(strings.Repeat("long/", 60)+"f", tartest.Text(2, 700))}
	for i, n := range []int{511, 512, 513, 2047, 3583, 3584, 3585, 4096, 20_000, 0, 100} {
		members = append(members, tartest.File(fmt.Sprint(i), tartest.Text(uint64(i), n)))
	}
	want := tartest.Tar(t, members...)
	for _, size := range []int{4096, 5000, 10_240, 1 << 20} {
		var got bytes.Buffer
		var edges []int64
		w := NewWriter(size, func(block []byte) error {
			if len(block) > size && got.Len()+len(block) < len(want) {
				t.Errorf("a block of %d bytes instead of %d", len(block), size)
			}
			got.Write(block)
			edges = append(edges, int64(got.Len()))
			return nil
		})
		for _, m := range members {
			start := w.Len()
			header, err := w.HeaderSize(&m.Header)
			if err != nil {
				t.Fatal(err)
			}
			off, err := w.Add(&m.Header, strings.NewReader(m.Data))
			if err != nil || off != start+header || w.Len() != roundUp(off+int64(len(m.Data))) {
				t.Errorf("%s: at %d, header of %d bytes, data at %d, %v", m.Header.Name, start, header, off, err)
			}
			whole := w.Len() - start
			for _, e := range edges {
				if e > start && e < w.Len() && whole <= int64(size) {
					t.Errorf("blocks of %d: %s, of %d bytes, is cut", size, m.Header.Name, whole)
				}
				if e > start && e < w.Len() && whole > int64(size) && !slices.Contains(edges, start) && start > 0 {
					t.Errorf("blocks of %d: %s, of %d bytes, does not begin one", size, m.Header.Name, whole)
				}
			}
		}
		if err := w.Close(); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("blocks of %d: another tar (%v)", size, err)
		}
	}
}

// The last block is as large as its members.
func TestWriterLast(t *testing.T) {
	var blocks []int
	w := NewWriter(4096, func(block []byte) error { blocks = append(blocks, len(block)); return nil })
	a, b := tartest.File("a", "1"), tartest.File("b", tartest.Text(1, 50_000))
	for _, m := range []tartest.Member{a, b} {
		if m.Header.Name == "b" {
			if err := w.Last(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Add(&m.Header, strings.NewReader(m.Data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil || !slices.Equal(blocks, []int{1024, 512 + 50_176 + 1024}) {
		t.Errorf("blocks %d (%v)", blocks, err)
	}
}

// Errors of the reader and of emit are returned, and name the member.
func TestWriterFails(t *testing.T) {
	full := errors.New("no space")
	w := NewWriter(4096, func([]byte) error { return full })
	f := tartest.File("a", tartest.Text(1, 10_000))
	if _, err := w.Add(&f.Header, strings.NewReader(f.Data)); !errors.Is(err, full) {
		t.Error(err)
	}
	w = NewWriter(4096, func([]byte) error { return nil })
	if _, err := w.Add(&f.Header, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "a: ") {
		t.Error(err)
	}
}

// Salvage finds the members around damage, and where they lie.
func TestSalvage(t *testing.T) {
	members := []tartest.Member{tartest.Dir("./d/"), tartest.Raw(tartest.PaxGlobal("comment=" + tartest.Text(1, 900)))}
	for i := range 10 {
		members = append(members, tartest.File(fmt.Sprint(i), tartest.Text(uint64(i), i*300)))
	}
	whole := tartest.Tar(t, members...)
	find := func(b []byte) map[string]Span {
		found := map[string]Span{}
		Salvage(bytes.NewReader(b), func(name string, where Span) bool { found[name] = where; return true })
		return found
	}
	all := find(whole)
	if len(all) != 11 {
		t.Fatalf("%d members", len(all))
	}
	for name, where := range all {
		if name != "./d/" && !bytes.HasPrefix(whole[where.Start:], []byte(name+"\x00")) {
			t.Errorf("%s does not begin at %d", name, where.Start)
		}
		bad := bytes.Clone(whole)
		copy(bad[where.Start:], bytes.Repeat([]byte{0xff}, Block))
		left := find(bad)
		if _, found := left[name]; found || len(left) != len(all)-1 {
			t.Errorf("without the header of %s: %v", name, left)
		}
	}
	n := 0
	Salvage(bytes.NewReader(whole), func(string, Span) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("called %d times", n)
	}
}

// FuzzSalvage reads any bytes. Every member must lie in them, in order.
func FuzzSalvage(f *testing.F) {
	f.Add(tartest.Tar(f, tartest.File("a", tartest.Text(1, 700)), tartest.Dir("d"), tartest.Hardlink("h", "a")))
	f.Add(tartest.Tar(f, tartest.Raw(tartest.Pax("path=x"), tartest.Header('0', "a", 3, tartest.Ustar), tartest.Padded("abc"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := int64(0)
		Salvage(bytes.NewReader(b), func(name string, where Span) bool {
			if where.Start < before || where.End < where.Start || where.Start > int64(len(b)) {
				t.Errorf("%q lies at %v", name, where)
			}
			before = where.Start
			return true
		})
	})
}
