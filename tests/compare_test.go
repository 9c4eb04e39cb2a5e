// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// compareTrees compares names, types, sizes, bytes, x bits, times of files,
// link targets, and what is a hard link to what.
func compareTrees(t testing.TB, got, want string) {
	t.Helper()
	list := func(root string) (names []string) {
		check(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			name, _ := filepath.Rel(root, path)
			names = append(names, name)
			return err
		}))
		return names
	}
	gotNames, wantNames := list(got), list(want)
	if g, w := strings.Join(gotNames, "\n"), strings.Join(wantNames, "\n"); g != w {
		t.Fatalf("%d names instead of %d, or others", len(gotNames), len(wantNames))
	}
	gotFirst, wantFirst := map[uint64]string{}, map[uint64]string{}
	bad := 0
	for _, name := range wantNames {
		if err := compareEntry(filepath.Join(got, name), filepath.Join(want, name), name, gotFirst, wantFirst); err != nil {
			t.Errorf("%s: %v", name, err)
			if bad++; bad == 10 {
				t.Fatal("and more")
			}
		}
	}
}

func compareEntry(got, want, name string, gotFirst, wantFirst map[uint64]string) error {
	var g, w syscall.Stat_t
	if err := errors.Join(syscall.Lstat(got, &g), syscall.Lstat(want, &w)); err != nil {
		return err
	}
	if g.Mode&syscall.S_IFMT != w.Mode&syscall.S_IFMT {
		return fmt.Errorf("type %#o instead of %#o", g.Mode, w.Mode)
	}
	first := func(m map[uint64]string, ino uint64) string {
		if _, ok := m[ino]; !ok {
			m[ino] = name
		}
		return m[ino]
	}
	if g, w := first(gotFirst, g.Ino), first(wantFirst, w.Ino); g != w {
		return fmt.Errorf("the same file as %s instead of %s", g, w)
	}
	if g.Uid != 0 || g.Gid != 0 {
		return fmt.Errorf("owner %d:%d", g.Uid, g.Gid)
	}
	switch w.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		if g.Mode&0o777 != 0o755 || g.Size != 4096 || g.Nlink != w.Nlink {
			return fmt.Errorf("mode %#o, size %d, %d links instead of %d", g.Mode, g.Size, g.Nlink, w.Nlink)
		}
	case syscall.S_IFLNK:
		gt, err1 := os.Readlink(got)
		wt, err2 := os.Readlink(want)
		if gt != wt || err1 != nil || err2 != nil {
			return fmt.Errorf("links to %q (%v) instead of %q (%v)", gt, err1, wt, err2)
		}
	default:
		mode := uint32(0o644)
		if w.Mode&0o111 != 0 {
			mode = 0o755
		}
		if g.Mode&0o7777 != mode || g.Size != w.Size || g.Nlink != w.Nlink || g.Mtim.Sec != w.Mtim.Sec {
			return fmt.Errorf("mode %#o, size %d, %d links, time %d instead of %#o, %d, %d, %d",
				g.Mode&0o7777, g.Size, g.Nlink, g.Mtim.Sec, mode, w.Size, w.Nlink, w.Mtim.Sec)
		}
		gb, err1 := os.ReadFile(got)
		wb, err2 := os.ReadFile(want)
		if err1 != nil || err2 != nil || !bytes.Equal(gb, wb) {
			return fmt.Errorf("other bytes (%v, %v)", err1, err2)
		}
	}
	return nil
}
