// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrRelease is about a release that can't be the name of a directory.
var ErrRelease = errors.New("is not a kernel release")

// A NotFoundError tells where no archive was found.
type NotFoundError struct {
	Release string
	Tried   []string // places, each with what was there instead
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no headers archive for kernel %s; tried:\n  %s", e.Release, strings.Join(e.Tried, "\n  "))
}

var (
	// moduleRoots are where the modules of a kernel lie; the second is where
	// NixOS keeps those of the kernel that runs.
	moduleRoots = []string{"/lib/modules", "/run/booted-system/kernel-modules/lib/modules"}
	// moduleDirs are looked into when modules.dep doesn't help: the kernel's own
	// place (the directory is kernel/ of the source tree, hence twice), and
	// those of DKMS and of modules installed by hand.
	moduleDirs    = []string{"kernel/kernel", "updates/dkms", "updates", "extra"}
	moduleEndings = []string{".ko", ".ko.gz", ".ko.xz", ".ko.zst"}
)

// Running returns the release of the kernel that runs.
func Running() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// Find reads the archive of the kernel of the given release. The first of
// these that exists is taken:
//
//	/sys/kernel/kheaders.tar.xz    for the kernel that runs
//	/proc/kheaders.tar.xz          for the kernel that runs
//	the kheaders module            as modules.dep names it
//	the kheaders module            in kernel/kernel, updates/dkms, updates, extra
//
// the module's file being looked for in /lib/modules/RELEASE and then in
// /run/booted-system/kernel-modules/lib/modules/RELEASE, and read unloaded.
// The error is a *NotFoundError when there is none.
func Find(release string) (*Archive, error) {
	running, err := Running()
	if err != nil {
		return nil, err
	}
	return find("/", release, release == running)
}

// find is Find in a machine whose root directory is root.
func find(root, release string, running bool) (*Archive, error) {
	if release == "" || release == "." || release == ".." || strings.ContainsAny(release, "/\x00") {
		return nil, fmt.Errorf("%q %w", release, ErrRelease)
	}
	notFound := &NotFoundError{Release: release}
	if running {
		for _, p := range []string{"/sys/kernel/kheaders.tar.xz", "/proc/kheaders.tar.xz"} {
			a, err := Open(filepath.Join(root, p))
			if err == nil {
				return a, nil
			}
			// The module can be unloaded while it is read: its file may be there.
			if !isMissing(err) && !errors.Is(err, syscall.ENODEV) && !errors.Is(err, syscall.EIO) {
				return nil, err
			}
			notFound.tried(p, err)
		}
	}
	for _, r := range moduleRoots {
		dir := path.Join(r, release)
		if st, err := os.Stat(filepath.Join(root, dir)); isMissing(err) || err == nil && !st.IsDir() {
			notFound.tried(dir+"/", syscall.ENOENT)
			continue
		}
		a, err := findModule(root, dir, notFound)
		if a != nil || err != nil {
			return a, err
		}
	}
	return nil, notFound
}

// findModule looks for the module's file in dir, the modules of one kernel. It
// returns nothing when it isn't there.
func findModule(root, dir string, notFound *NotFoundError) (*Archive, error) {
	listed, err := fromModulesDep(filepath.Join(root, dir, "modules.dep"))
	if err == nil && listed != "" {
		var a *Archive
		if a, err = Open(filepath.Join(root, dir, listed)); err == nil || !isMissing(err) {
			return a, err
		}
		notFound.tried(path.Join(dir, listed), err)
	} else {
		if err == nil {
			err = errors.New("names no kheaders")
		}
		notFound.tried(path.Join(dir, "modules.dep"), err)
	}
	for _, d := range moduleDirs {
		for _, ending := range moduleEndings {
			a, err := Open(filepath.Join(root, dir, d, "kheaders"+ending))
			if err == nil || !isMissing(err) {
				return a, err
			}
		}
		notFound.tried(path.Join(dir, d, "kheaders")+"{"+strings.Join(moduleEndings, ",")+"}", syscall.ENOENT)
	}
	return nil, nil
}

// fromModulesDep returns the path, relative to modules.dep, of the kheaders
// module (modules.dep(5)), or nothing. One outside its directory is passed over.
func fromModulesDep(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, _, ok := strings.Cut(lines.Text(), ":")
		base, ending, _ := strings.Cut(path.Base(name), ".")
		if ok && base == "kheaders" && strings.HasPrefix(ending, "ko") && filepath.IsLocal(name) {
			return name, nil
		}
	}
	return "", lines.Err()
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
