// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/fs"
	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/kernel"
	"github.com/kheadersfs/kheadersfs/index/source"
)

const linkHelp = `The mount is that on MOUNTPOINT, or on /usr/src/kheaders, or the only one. The
link is /lib/modules/R/build, where R is the running kernel. It is made only
where nothing is, or a link that leads nowhere. A mount with --link makes it
by itself, and removes it again.

DKMS takes what is there for the headers of a package. So where DKMS has modules
to build, the link is made only to a mount in which they can be built, or with
--force. A link that --link made is removed when DKMS is given a module.
`

const unlinkHelp = `The link is /lib/modules/R/build, where R is the running kernel. It is removed
only if it leads to MOUNTPOINT; without MOUNTPOINT, if kheadersfs has made it.
A link that was there before, and led nowhere, is put back.
`

func defineLink(flags *pflag.FlagSet) func(*call) error {
	force := flags.Bool("force", false, "also where DKMS has modules to build, and will fail")
	return func(c *call) error {
		dir, err := headersDir(c.operands[0])
		if err != nil {
			return err
		}
		if dir, err = resolve(dir); err != nil {
			return err
		}
		typ, err := mountedOn(dir)
		if err != nil {
			return err
		}
		if typ != fs.Type && typ != someFUSE {
			return withHint(fmt.Errorf("%s: no mount of kheadersfs", dir), "kheadersfs --link SOURCE MOUNTPOINT")
		}
		text, err := os.ReadFile(filepath.Join(dir, kernel.ReleaseFile))
		if err != nil {
			return err
		}
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return bareAt(dir, err)
		}
		builds := st.Flags&unix.ST_NOEXEC == 0 && hasKbuild(func(name string) bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err == nil
		})
		l, err := newBuildLink(dir, kernel.ParseRelease(text), builds || *force)
		if err != nil {
			return err
		}
		return l.make()
	}
}

func defineUnlink(*pflag.FlagSet) func(*call) error {
	return func(c *call) error {
		dir := c.operands[0]
		if dir != "" {
			var err error
			if dir, err = filepath.Abs(dir); err != nil {
				return err
			}
			if path, err := resolve(dir); err == nil {
				dir = path
			}
		}
		release, err := source.Running()
		if err != nil {
			return err
		}
		return (&buildLink{modules: modulesDir, release: release, dir: dir}).remove(nil)
	}
}

// hasKbuild reports whether a tree has what modules are built with.
func hasKbuild(has func(name string) bool) bool {
	return has("Makefile") && has("scripts/Makefile.build")
}

func treeHasKbuild(t *index.Tree) bool {
	return hasKbuild(func(name string) bool { _, ok := t.Find(name); return ok })
}

// A linkMode is the value of --link: empty, yes, or force.
type linkMode string

func (m *linkMode) String() string { return string(*m) }
func (m *linkMode) Type() string   { return "" }

func (m *linkMode) Set(s string) error {
	if s != "yes" && s != "force" {
		return fmt.Errorf("%q is neither yes nor force", s)
	}
	*m = linkMode(s)
	return nil
}

// makeLink makes the link that --link asks for. The mount goes on without: then there is a
// warning, and nil is returned.
func (m *mounted) makeLink(c *mountConfig, logger *log.Logger) *buildLink {
	if c.link == "" {
		return nil
	}
	release, _ := m.tree.Release()
	l, err := newBuildLink(m.dir, release, m.builds || c.link == "force")
	if err == nil && !m.builds && c.link != "force" {
		l.dkms, err = newDKMSWatch()
	}
	if err == nil {
		err = l.make()
	}
	if err != nil {
		if hint := hintOf(err); hint != "" {
			err = fmt.Errorf("%w\nhint: %s", err, hint)
		}
		logger.Printf("warning: %v", err)
		return nil
	}
	if l.dkms != nil {
		go l.stepAside(logger)
	}
	return l
}

// unmounted removes the link when the mount is gone. Another process may have mounted on the
// same directory by then, and rely on the link.
func (l *buildLink) unmounted(logger *log.Logger) {
	if l == nil {
		return
	}
	if l.dkms != nil {
		l.dkms.Close()
	}
	if err := l.remove(l.dangles); err != nil && !errors.As(err, new(notOursError)) {
		logger.Printf("warning: %v", err)
	}
}

// stepAside removes the link when DKMS has been given a module, or can't be watched.
func (l *buildLink) stepAside(logger *log.Logger) {
	names, reason := waitForDKMS(l.dkms, "/", l.release, l.dir)
	switch {
	case errors.Is(reason, os.ErrClosed): // unmounted
		return
	case reason == nil:
		reason = dkmsError(names)
	}
	err := l.remove(nil)
	switch {
	case err == nil:
		logger.Printf("warning: removed %s: %v", l.path(), reason)
	case !errors.As(err, new(notOursError)):
		logger.Printf("warning: %v", err)
	}
}
