// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/source"
)

// A lookup says which archive to find when SOURCE names none.
type lookup struct {
	release string // of the kernel; empty: the running one
	root    string // the directory below which a host's root lies; empty: /
}

func (l *lookup) define(flags *pflag.FlagSet) {
	flags.Var(text{&l.release, "R"}, "release", "find the headers of kernel R instead of the running one's")
	flags.Var(text{&l.root, "DIR"}, "root", "look for the kernel's headers below DIR, a host's root")
}

// wanted returns the release of the kernel whose headers are looked for.
func (l *lookup) wanted() (string, error) {
	if l.release != "" {
		return l.release, nil
	}
	return source.Running()
}

// isFind reports whether a SOURCE means that the archive is to be found. fstab
// needs a word in its first field.
func isFind(src string) bool {
	return src == "" || src == "auto" || src == "none" || src == "kheaders"
}

// openArchive opens the archive that src names, or finds one.
func openArchive(src string, l lookup) (*source.Archive, error) {
	if isFind(src) {
		return findArchive(l)
	}
	path, err := filepath.Abs(src)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(path)
	switch {
	case err != nil && strings.Contains(src, "://"):
		return nil, withHint(usageErrorf("SOURCE %s is a URL and not a path", src), "download it first")
	case err == nil && st.IsDir():
		return nil, withHint(fmt.Errorf("SOURCE %s is a directory", src),
			"use it as it is, or make an archive of it: kheadersfs pack -o kheaders.tar.xz "+src)
	}
	a, err := source.Open(path)
	var format *source.FormatError
	if errors.As(err, &format) && format.Hint != "" {
		err = withHint(err, strings.ReplaceAll(format.Hint, "FILE", src))
	}
	return a, err
}

func findArchive(l lookup) (*source.Archive, error) {
	release, err := l.wanted()
	if err != nil {
		return nil, err
	}
	a, err := source.Find(cmp.Or(l.root, "/"), release)
	if errors.Is(err, source.ErrRelease) {
		return nil, usageErrorf("%v", err)
	}
	var notFound *source.NotFoundError
	if errors.As(err, &notFound) {
		return nil, withHint(err, notFoundHint(notFound, l))
	}
	return a, err
}

// notFoundHint says what may help when no archive was found.
func notFoundHint(e *source.NotFoundError, l lookup) string {
	if l.release == "" && len(e.Installed) > 0 && !slices.Contains(e.Installed, e.Release) {
		return fmt.Sprintf("kernel %s runs, and only %s is installed: it was upgraded; reboot, or name an archive as SOURCE",
			e.Release, strings.Join(e.Installed, ", "))
	}
	hint := "for a kernel built without CONFIG_IKHEADERS, build the module in kmod/; or name an archive as SOURCE"
	if l.root == "" {
		hint = "in a container, give the host's root as --root; " + hint
	}
	return hint
}

// load opens or finds an archive and makes a tree of it.
func load(src string, l lookup) (*source.Archive, *index.Tree, error) {
	a, err := openArchive(src, l)
	if err != nil {
		return nil, nil, err
	}
	t, err := index.Open(a, a.Size())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	return a, t, nil
}

// writeFile writes the bytes of a file to w, by way of buf.
func writeFile(w io.Writer, t *index.Tree, id index.ID, buf []byte) error {
	for off := int64(0); ; {
		n, err := t.ReadAt(id, buf, off)
		if err != nil && err != io.EOF {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return bare(err)
		}
		if err == io.EOF {
			return nil
		}
		off += int64(n)
	}
}
