// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/fs"
	"github.com/kheadersfs/kheadersfs/index/source"
)

// bcc and bpftrace look for the headers of the running kernel R in /lib/modules/R/build.
// A link there leads them to a mount. It is never a directory: a package would leave that in
// the place of its own link.

const (
	modulesDir = "/lib/modules"
	linkName   = "build"
	// savedName is where a link that led nowhere is kept, since a package may own it.
	savedName = "build.before-kheadersfs"
	// linkEnd makes the link lead nowhere when nothing is mounted. Otherwise it would
	// lead to an empty directory, in which bpftrace fails, though without any it works.
	linkEnd = "/include/.."

	// instead is the hint to what does without a link.
	instead = `bcc and bpftrace also find the headers by eval "$(kheadersfs env)" and sudo -E`
)

// A buildLink is the link modules/RELEASE/build to the mount on a directory.
type buildLink struct {
	modules string
	release string
	dir     string   // if it is empty, any directory
	dkms    *os.File // for waitForDKMS, or nil
}

// A notOursError says that there is no link of ours.
type notOursError struct{ error }

// newBuildLink returns the link for headers of a release, which are mounted on dir, an
// absolute path without symbolic links. Where DKMS has modules to build it fails unless
// mayBuild is set.
func newBuildLink(dir, release string, mayBuild bool) (*buildLink, error) {
	running, err := source.Running()
	if err != nil {
		return nil, err
	}
	l := &buildLink{modules: modulesDir, release: running, dir: dir}
	switch {
	case os.Geteuid() != 0:
		return nil, l.failed(errors.New("only root can make it"))
	case release != running:
		return nil, l.failed(fmt.Errorf("the headers are of kernel %s, and %s runs", cmp.Or(release, "unknown"), running))
	case fs.IsHandedOver(dir):
		return nil, l.failed(withHint(errors.New("the mount point is not known"), "kheadersfs link MOUNTPOINT"))
	}
	// Whoever can replace the directory would decide what root builds with.
	_, f, err := openMountpoint(dir, false)
	if err != nil {
		return nil, l.failed(withHint(bareAt(dir, err), "mount below directories that only root can change, as "+defaultMountpoint))
	}
	f.Close()
	if names := modulesToBuild("/", running, dir); len(names) > 0 && !mayBuild {
		return nil, l.failed(dkmsError(names))
	}
	return l, nil
}

func (l *buildLink) path() string { return filepath.Join(l.modules, l.release, linkName) }

// failed returns an error that names the link. Unless err has a hint it names what helps
// without a link.
func (l *buildLink) failed(err error) error {
	return withHint(fmt.Errorf("no link %s: %w", l.path(), err), cmp.Or(hintOf(err), instead))
}

// open opens the directory of the link, and locks it until it is closed. A link in place of
// the directory is not followed: it could lead to the modules of another kernel.
func (l *buildLink) open() (dir *os.Root, unlock func(), err error) {
	path := filepath.Join(l.modules, l.release)
	st, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, nil, bareAt(path, err)
	case !st.IsDir():
		return nil, nil, bareAt(path, syscall.ENOTDIR)
	}
	dir, err = os.OpenRoot(path)
	if err != nil {
		return nil, nil, bareAt(path, err)
	}
	unlockPath := lockMountpoint(path)
	return dir, func() { unlockPath(); dir.Close() }, nil
}

// make makes the link where nothing is, or a link that leads nowhere, which is saved.
func (l *buildLink) make() error {
	dir, unlock, err := l.open()
	if err != nil {
		return l.failed(err)
	}
	defer unlock()
	target := l.dir + linkEnd
	old, err := dir.Readlink(linkName)
	switch {
	case errors.Is(err, os.ErrNotExist):
		forgetSaved(dir)
		err = dir.Symlink(target, linkName)
	case err != nil:
		err = errors.New("there is something else, which is no link")
	case old == target:
	case !l.dangles():
		err = fmt.Errorf("there is one to %s, in which headers are found", old)
	default:
		err = replaceLink(dir, target, old)
	}
	if err != nil {
		return l.failed(bare(err))
	}
	return nil
}

// replaceLink replaces the link at once, and saves the old one if it is not of ours.
func replaceLink(dir *os.Root, target, old string) error {
	if !strings.HasSuffix(old, linkEnd) {
		if err := symlinkOver(dir, old, savedName); err != nil {
			return err
		}
	}
	return symlinkOver(dir, target, linkName)
}

// symlinkOver makes a link in the place of another, of which there is one at each moment.
func symlinkOver(dir *os.Root, target, name string) error {
	part := "." + name + ".kheadersfs"
	dir.Remove(part) // of a process that was killed
	if err := dir.Symlink(target, part); err != nil {
		return err
	}
	if err := dir.Rename(part, name); err != nil {
		dir.Remove(part)
		return err
	}
	return nil
}

// remove removes the link if it is ours, and if onlyIf, unless it is nil, returns true. It
// puts back the link that was there before.
func (l *buildLink) remove(onlyIf func() bool) error {
	dir, unlock, err := l.open()
	if err != nil {
		return err
	}
	defer unlock()
	target, err := dir.Readlink(linkName)
	if !strings.HasSuffix(target, linkEnd) {
		forgetSaved(dir) // a package has put something else in the place of our link
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return notOursError{bareAt(l.path(), err)}
	case err != nil || !l.isOurs(target):
		return notOursError{fmt.Errorf("%s is not a link of kheadersfs%s", l.path(), l.toDir())}
	case onlyIf != nil && !onlyIf():
		return nil
	}
	if hasSaved(dir) {
		return bareAt(l.path(), dir.Rename(savedName, linkName))
	}
	return bareAt(l.path(), dir.Remove(linkName))
}

func hasSaved(dir *os.Root) bool {
	st, err := dir.Lstat(savedName)
	return err == nil && st.Mode().Type() == os.ModeSymlink
}

func forgetSaved(dir *os.Root) {
	if hasSaved(dir) {
		dir.Remove(savedName)
	}
}

func (l *buildLink) isOurs(target string) bool {
	return target == l.dir+linkEnd || l.dir == "" && strings.HasSuffix(target, linkEnd)
}

func (l *buildLink) toDir() string {
	if l.dir == "" {
		return ""
	}
	return " to " + l.dir
}

// dangles reports whether the link leads nowhere, or to a dead mount.
func (l *buildLink) dangles() bool {
	var st unix.Statfs_t // which is never answered from a cache
	err := unix.Statfs(l.path(), &st)
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || isDead(err)
}

// bareAt returns the error of a system call with the path that the user knows.
func bareAt(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, bare(err))
}
