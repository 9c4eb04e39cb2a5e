// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// A root is a directory that is searched as if it were "/": symbolic links are
// followed as after a chroot(2) to it. resolve follows them, because os.Root
// refuses absolute ones; os.Root makes sure that a link which is made in the
// meantime does not lead out.
type root struct {
	*os.Root
	dir string // absolute
}

func openRoot(dir string) (*root, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &root{r, dir}, nil
}

// path returns the name of a place on this machine.
func (r *root) path(place string) string { return filepath.Join(r.dir, place) }

// open opens a file or directory for a search of one kernel's headers. A link
// into the modules of another kernel is an otherKernelError. real is the name
// of the file on this machine: below a directory other than "/", links are
// followed in it, since an absolute link means another file there.
func (r *root) open(place, release string) (f *os.File, real string, err error) {
	resolved, err := r.resolve(place)
	if err == nil {
		err = checkRelease(resolved, release)
	}
	if err == nil {
		f, err = r.OpenFile(resolved, openFlags, 0)
	}
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, "", &fs.PathError{Op: "open", Path: r.path(place), Err: err}
	}
	if r.dir == "/" {
		return f, place, nil
	}
	return f, r.path(resolved), nil
}

// read reads the archive in a file.
func (r *root) read(place, release string) (*Archive, error) {
	f, real, err := r.open(place, release)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readFile(f, real)
}

// resolve returns place, relative to the root, with all symbolic links in it
// followed.
func (r *root) resolve(place string) (string, error) {
	const maxLinks = 40 // MAXSYMLINKS of include/linux/namei.h
	links := 0
	done, rest := ".", place
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		next := path.Join(done, name)
		switch name {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done) // there is no link in done
			continue
		}
		target, err := r.Readlink(next)
		switch {
		case errors.Is(err, syscall.EINVAL): // no link
			done = next
			continue
		case err != nil:
			return "", err
		}
		if links++; links > maxLinks {
			return "", syscall.ELOOP
		}
		if path.IsAbs(target) {
			done = "."
		}
		rest = target + "/" + rest
	}
	return done, nil
}

// An otherKernelError is the name of a file that a link led to.
type otherKernelError string

func (e otherKernelError) Error() string {
	return fmt.Sprintf("leads to /%s, which belongs to another kernel", string(e))
}

// Is makes the search go on, as if nothing were there.
func (e otherKernelError) Is(target error) bool { return target == fs.ErrNotExist }

// checkRelease returns an error if a file without links in its name lies in the
// modules of another kernel.
func checkRelease(resolved, release string) error {
	names := strings.Split(resolved, "/")
	for i := 2; i < len(names); i++ {
		if names[i-2] == "lib" && names[i-1] == "modules" && names[i] != release {
			return otherKernelError(resolved)
		}
	}
	return nil
}
