// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A member is a file or symbolic link of the archive to be.
type member struct {
	name   string // path in the archive
	mtime  time.Time
	mode   fs.FileMode
	target string                 // of a link; empty for a file
	read   func() ([]byte, error) // of a file
}

// A tree is what goes into an archive.
type tree struct {
	members map[string]*member
	arch    string // the kernel's SRCARCH
}

// extraFiles are packed besides headers, for tools that read them: the kernel's
// configuration and its release.
var extraFiles = []string{"include/config/auto.conf", "include/config/kernel.release"}

// maxDepth bounds directories, which links can make endless.
const maxDepth = 64

// readTree finds the headers in dir: a kernel's build directory, as
// distributions lay it out, its source tree, or a plain tree. o.Objtree is where
// the kernel was built, if that is elsewhere and dir does not say so.
func readTree(dir string, o Options) (*tree, error) {
	roots := []string{dir}
	if o.Objtree != "" {
		// Without it all generated headers would be missing.
		if _, err := os.ReadDir(o.Objtree); err != nil {
			return nil, err
		}
		roots = append(roots, o.Objtree)
	} else if src, err := sourceOf(dir); err != nil {
		return nil, err
	} else if src != "" {
		roots = []string{src, dir}
	}
	arch, err := architecture(roots)
	if err != nil {
		return nil, err
	}
	t := &tree{members: map[string]*member{}, arch: arch}
	// Generated files replace those of the source.
	for _, root := range roots {
		for _, sub := range []string{"include", path.Join("arch", arch, "include")} {
			if err := t.walk(root, sub, isHeader, nil); err != nil {
				return nil, err
			}
		}
		if err := t.addFiles(root, extraFiles); err != nil {
			return nil, err
		}
	}
	if len(t.members) == 0 {
		return nil, fmt.Errorf("%s: no headers in include or arch/%s/include", dir, arch)
	}
	if o.Kbuild {
		if err := t.addKbuild(roots, o.BTF); err != nil {
			return nil, err
		}
	}
	return t, t.links()
}

// sourceOf returns the source tree of a build directory whose Makefile includes
// that of the source tree: kbuild and Debian make such Makefiles.
func sourceOf(dir string) (string, error) {
	f, err := os.Open(filepath.Join(dir, "Makefile"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		file, ok := strings.CutPrefix(lines.Text(), "include ")
		if !ok || filepath.Base(file) != "Makefile" {
			continue
		}
		src := filepath.Dir(file)
		if !filepath.IsAbs(src) {
			src = filepath.Join(dir, src)
		}
		if st, err := os.Stat(filepath.Join(src, "include")); err == nil && st.IsDir() {
			return src, nil
		}
	}
	return "", nil
}

// architecture returns the architecture that the tree was configured for, which has
// generated headers, or else its only architecture.
func architecture(roots []string) (string, error) {
	var all, configured []string
	for _, root := range roots {
		dirs, err := os.ReadDir(filepath.Join(root, "arch"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for _, d := range dirs {
			arch := d.Name()
			dir := filepath.Join(root, "arch", arch, "include")
			if _, err := os.Stat(dir); err != nil {
				continue
			}
			all = append(all, arch)
			if _, err := os.Stat(filepath.Join(dir, "generated")); err == nil {
				configured = append(configured, arch)
			}
		}
	}
	if len(configured) == 0 {
		configured = all
	}
	slices.Sort(configured)
	switch configured = slices.Compact(configured); len(configured) {
	case 0:
		return "", fmt.Errorf("%s: not a tree of kernel headers: no arch/*/include", roots[0])
	case 1:
		return configured[0], nil
	}
	return "", fmt.Errorf("%s: which architecture? headers are generated for none or many of %s (make prepare generates them)",
		roots[0], strings.Join(configured, ", "))
}

// A filter reports whether a file is packed, or what is in a directory looked at.
type filter func(name string, st fs.FileInfo) bool

func isHeader(name string, st fs.FileInfo) bool { return st.IsDir() || strings.HasSuffix(name, ".h") }

// walk adds all wanted files below root/name. It follows links to directories: Ubuntu's
// packages link to the directories that all flavours share.
func (t *tree) walk(root, name string, want filter, above []fs.FileInfo) error {
	entries, err := os.ReadDir(filepath.Join(root, name))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && len(above) == 0 {
			return nil
		}
		return err
	}
	for _, e := range entries {
		name := path.Join(name, e.Name())
		st, err := e.Info()
		if err != nil {
			return err
		}
		if st.Mode()&fs.ModeSymlink != 0 {
			to, err := os.Stat(filepath.Join(root, name))
			if err != nil && !strings.HasSuffix(name, ".h") {
				continue
			}
			if err == nil && to.IsDir() {
				st = to
			}
		}
		switch {
		case !want(name, st):
		case st.IsDir():
			loops := slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, st) })
			if loops || len(above) == maxDepth {
				return fmt.Errorf("%s: directories without end", filepath.Join(root, name))
			}
			if err := t.walk(root, name, want, append(above, st)); err != nil {
				return err
			}
		default:
			if err := t.add(root, name, st); err != nil {
				return err
			}
		}
	}
	return nil
}

// addFiles adds those of some files that are there.
func (t *tree) addFiles(root string, names []string) error {
	for _, name := range names {
		st, err := os.Stat(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := t.add(root, name, st); err != nil {
			return err
		}
	}
	return nil
}

// add adds a file or a link. It refuses all else: reading a FIFO would not end.
func (t *tree) add(root, name string, st fs.FileInfo) error {
	file := filepath.Join(root, name)
	if !st.Mode().IsRegular() && st.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("%s: not a file", file)
	}
	m := &member{name: name, mtime: st.ModTime(), mode: st.Mode()}
	m.read = func() ([]byte, error) { return os.ReadFile(file) }
	if st.Mode()&fs.ModeSymlink != 0 {
		m.target = file // see links
	}
	t.members[name] = m
	return nil
}

// links keeps symbolic links to other members, and replaces others by the files that
// they lead to. Links that lead nowhere stay, as in the kernel's own archive.
func (t *tree) links() error {
	for _, name := range slices.Sorted(maps.Keys(t.members)) {
		m := t.members[name]
		if m.target == "" {
			continue
		}
		target, err := os.Readlink(m.target)
		if err != nil {
			return err
		}
		_, inside := t.members[path.Join(path.Dir(name), target)]
		if inside && !path.IsAbs(target) {
			m.target = target
			continue
		}
		st, err := os.Stat(m.target)
		if errors.Is(err, fs.ErrNotExist) {
			m.target = target
			continue
		}
		if err != nil {
			return err
		}
		if !st.Mode().IsRegular() {
			return fmt.Errorf("%s: a link to what is not a file", m.target)
		}
		m.target, m.mtime, m.mode = "", st.ModTime(), st.Mode()
	}
	return nil
}
