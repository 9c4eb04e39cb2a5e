// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrRelease means that a release cannot be the name of a directory.
var ErrRelease = errors.New("is not a kernel release")

// A NotFoundError lists the places where no archive was found.
type NotFoundError struct {
	Release string
	Tried   []string // each place, and what was found there instead
	// Installed are the releases that have a directory of modules, sorted, and
	// WithHeaders those of them that have a kheaders module. When Release is not
	// installed, the kernel may have been upgraded since it was booted.
	Installed, WithHeaders []string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no headers archive for kernel %s; tried:\n  %s", e.Release, strings.Join(e.Tried, "\n  "))
}

// maxInstalled is how many releases a NotFoundError names at most.
const maxInstalled = 64

var (
	// moduleRoots hold the modules of each kernel; NixOS keeps those of the
	// running kernel in the second.
	moduleRoots = []string{"/lib/modules", "/run/booted-system/kernel-modules/lib/modules"}
	// moduleDirs are looked at when modules.dep does not help: the kernel's own
	// directory (which is kernel/ of the source tree, hence twice), and those of
	// DKMS and of modules installed by hand. weak-updates is not among them: it
	// links to the modules of other kernels.
	moduleDirs    = []string{"kernel/kernel", "updates/dkms", "updates", "extra"}
	moduleEndings = []string{".ko", ".ko.gz", ".ko.xz", ".ko.zst"}
)

const weakUpdates = "weak-updates"

// Running returns the release of the running kernel.
func Running() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// Find reads the archive of the kernel of the given release, in a machine's tree
// whose top is the directory dir: / on this machine. It takes the first of these that exists:
//
//	/sys/kernel/kheaders.tar.xz    for the running kernel
//	/proc/kheaders.tar.xz          for the running kernel
//	the kheaders module            as modules.dep names it
//	the kheaders module            in kernel/kernel, updates/dkms, updates, extra
//
// The module's file is looked for in /lib/modules/RELEASE and then in
// /run/booted-system/kernel-modules/lib/modules/RELEASE, and is read without
// loading it. A link to the modules of another kernel is not followed. The
// error is a *NotFoundError if there is no archive.
func Find(dir, release string) (*Archive, error) {
	running, err := Running()
	if err != nil {
		return nil, err
	}
	return find(dir, release, release == running)
}

func find(dir, release string, running bool) (*Archive, error) {
	if release == "" || release == "." || release == ".." || strings.ContainsAny(release, "/\x00") {
		return nil, fmt.Errorf("%q %w", release, ErrRelease)
	}
	r, err := openRoot(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	notFound := &NotFoundError{Release: release}
	if running {
		for _, p := range []string{"/sys/kernel/kheaders.tar.xz", "/proc/kheaders.tar.xz"} {
			a, err := r.read(p, release)
			if err == nil {
				return a, nil
			}
			// When the module is unloaded during the read, its file may still exist.
			if !isMissing(err) && !errors.Is(err, syscall.ENODEV) && !errors.Is(err, syscall.EIO) {
				return nil, err
			}
			notFound.tried(r.path(p), err)
		}
	}
	for _, modules := range moduleRoots {
		dir := path.Join(modules, release)
		if err := r.isDir(dir, release); isMissing(err) {
			notFound.tried(r.path(dir)+"/", err)
			continue
		}
		a, err := findModule(r, dir, notFound)
		if a != nil || err != nil {
			return a, err
		}
	}
	notFound.list(r)
	return nil, notFound
}

// findModule looks for the module's file in dir, the modules of one kernel. It
// returns nil if the module is not there.
func findModule(r *root, dir string, notFound *NotFoundError) (*Archive, error) {
	listed, err := fromModulesDep(r, dir, notFound.Release)
	if err == nil {
		var a *Archive
		if a, err = r.read(listed, notFound.Release); err == nil || !isMissing(err) {
			return a, err
		}
		notFound.tried(r.path(listed), err)
	} else {
		notFound.tried(r.path(path.Join(dir, "modules.dep")), err)
	}
	for _, d := range moduleDirs {
		for _, ending := range moduleEndings {
			p := path.Join(dir, d, "kheaders"+ending)
			a, err := r.read(p, notFound.Release)
			if err == nil || !isMissing(err) {
				return a, err
			}
			if other := otherKernelError(""); errors.As(err, &other) {
				notFound.tried(r.path(p), err)
			}
		}
		notFound.tried(r.path(path.Join(dir, d, "kheaders"))+"{"+strings.Join(moduleEndings, ",")+"}", syscall.ENOENT)
	}
	return nil, nil
}

// fromModulesDep returns the file of the kheaders module that dir/modules.dep
// names (modules.dep(5)). One outside dir, or in weak-updates, is passed over.
func fromModulesDep(r *root, dir, release string) (string, error) {
	f, _, err := r.open(path.Join(dir, "modules.dep"), release)
	if err != nil {
		return "", err
	}
	defer f.Close()
	err = errors.New("names no kheaders")
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, _, ok := strings.Cut(lines.Text(), ":")
		base, ending, _ := strings.Cut(path.Base(name), ".")
		if !ok || base != "kheaders" || !strings.HasPrefix(ending, "ko") || !filepath.IsLocal(name) {
			continue
		}
		if !slices.Contains(strings.Split(name, "/"), weakUpdates) {
			return path.Join(dir, name), nil
		}
		err = fmt.Errorf("names only %s, which belongs to another kernel", name)
	}
	if lines.Err() != nil {
		err = lines.Err()
	}
	return "", err
}

// isDir returns an error if there is no such directory. Others, as of one that
// may not be read, show when it is used.
func (r *root) isDir(dir, release string) error {
	f, _, err := r.open(dir, release)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && !st.IsDir() {
		return syscall.ENOTDIR
	}
	return nil
}

// list fills in the installed releases.
func (e *NotFoundError) list(r *root) {
	for _, modules := range moduleRoots {
		f, _, err := r.open(modules, "")
		if err != nil {
			continue
		}
		names, _ := f.Readdirnames(1 << 12)
		f.Close()
		for _, name := range names {
			if r.isDir(path.Join(modules, name), name) == nil {
				e.Installed = append(e.Installed, name)
			}
		}
	}
	slices.Sort(e.Installed)
	e.Installed = slices.Compact(e.Installed)
	e.Installed = e.Installed[:min(len(e.Installed), maxInstalled)]
	for _, release := range e.Installed {
		if r.hasModule(release) {
			e.WithHeaders = append(e.WithHeaders, release)
		}
	}
}

// hasModule reports whether a kernel has a kheaders module.
func (r *root) hasModule(release string) bool {
	for _, modules := range moduleRoots {
		dir := path.Join(modules, release)
		files := []string{}
		if listed, err := fromModulesDep(r, dir, release); err == nil {
			files = append(files, listed)
		}
		for _, d := range moduleDirs {
			for _, ending := range moduleEndings {
				files = append(files, path.Join(dir, d, "kheaders"+ending))
			}
		}
		for _, file := range files {
			if f, _, err := r.open(file, release); err == nil {
				f.Close()
				return true
			}
		}
	}
	return false
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func (e *NotFoundError) tried(place string, err error) {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	e.Tried = append(e.Tried, fmt.Sprintf("%s: %v", place, err))
}
