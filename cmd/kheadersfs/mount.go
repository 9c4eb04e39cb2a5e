// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/kheadersfs/kheadersfs/fs"
	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/cache"
	"github.com/kheadersfs/kheadersfs/index/source"
)

const mountHelp = `The command returns when the mount answers, and serves it in the background.
What was decoded is kept for the next mount: without --cache-dir, in
$CACHE_DIRECTORY if that is set, /var/cache/kheadersfs if root mounts, or else
in kheadersfs below $XDG_CACHE_HOME or ~/.cache.

Words of -o, as in /etc/fstab, are the long flags, as release=R,strict, and
  noexec         programs in the tree may not be executed
  nosymfollow    symbolic links are not followed
  allow_other    other users may read the tree; always so if root mounts
  context=, fscontext=, defcontext=, rootcontext=    labels of SELinux

Other words of mount(8) and of libfuse are ignored where they change nothing
here: defaults, rw, noatime, nofail, user, x-*, nonempty, fsname=, max_read=
and so on.
`

func defineMount(flags *pflag.FlagSet) func(*call) error {
	c := &mountConfig{}
	words := c.words()
	flags.AddFlagSet(words)
	options := flags.StringArrayP("options", "o", nil, "mount `OPTIONS`, as in /etc/fstab")
	flags.IntVar(&c.readyFD, "ready-fd", -1, "")
	flags.Lookup("ready-fd").Hidden = true
	var r resumption
	flags.Var(&r, "resume", "")
	flags.Lookup("resume").Hidden = true
	replace := flags.Bool("replace", false, "have the server of MOUNTPOINT start its program again, after an upgrade")
	fake := flags.Bool("fake", false, "do everything but mount")
	flags.Bool("version", false, "print version, commit and Go version")
	return func(call *call) error {
		if err := c.applyOptions(words, *options); err != nil {
			return err
		}
		c.source, c.mountpoint = call.operands[0], call.operands[1]
		if *replace {
			if c.source != "" {
				return usageErrorf("--replace takes no SOURCE: it stays the same")
			}
			return replaceServer(c.mountpoint)
		}
		if c.readyFD < 0 && r.state == nil {
			if err := c.checkOperands(call.named); err != nil {
				return err
			}
			if !c.foreground && !*fake {
				return background(call.args, c.mountpoint)
			}
			if c.isService() {
				if err := r.takeFromSystemd(); err != nil {
					return err
				}
			}
		}
		logger := newLogger(call.stderr)
		if r.state != nil && !c.foreground {
			logger.SetOutput(systemLog())
		}
		ready, err := prepare(c, &r, logger)
		switch {
		case err != nil:
			return err
		case *fake && r.state != nil:
			_, err := fs.Prepare(ready.tree, ready.dir, r.Connection, c.options(ready, logger))
			return err
		case *fake:
			return nil
		}
		m, err := ready.mount(c, &r, logger)
		if err != nil {
			return err
		}
		return m.serve(c, givenArgs(call.args), logger)
	}
}

// checkOperands finds operands that are not meant as they stand: a misspelt
// command, unless mount was named, a mount point left out, and the wrong order.
func (c *mountConfig) checkOperands(named bool) error {
	first := cmp.Or(c.source, c.mountpoint)
	if _, err := os.Lstat(first); errors.Is(err, os.ErrNotExist) {
		switch {
		case c.source == "" && isFind(first):
			return usageErrorf("MOUNTPOINT is missing")
		case named || isFind(first) || strings.ContainsAny(first, "/."):
		case commandNamed(first) != nil:
			return withHint(usageErrorf("the command %s must come first", first), "kheadersfs help "+first)
		default:
			return unknownCommand(first)
		}
	}
	if st, err := os.Stat(c.mountpoint); err != nil || !st.Mode().IsRegular() {
		return nil
	}
	if c.source == "" {
		return withHint(usageErrorf("MOUNTPOINT is missing: %s is a file", c.mountpoint), "kheadersfs "+c.mountpoint+" MOUNTPOINT")
	}
	if st, err := os.Stat(c.source); err == nil && st.IsDir() {
		return withHint(usageErrorf("mount point %s: not a directory", c.mountpoint),
			"SOURCE comes first: kheadersfs "+c.mountpoint+" "+c.source)
	}
	return nil
}

func newLogger(w io.Writer) *log.Logger {
	return log.New(w, "kheadersfs: ", log.Lmsgprefix)
}

// A ready is a tree that can be mounted.
type ready struct {
	source string // as /proc/mounts is to show it
	dir    string // absolute, without symbolic links
	tree   *index.Tree
	kept   *cache.Cache
	builds bool                             // modules can be built in it
	step   func(format string, args ...any) // logs the step that has just been done
}

// prepare does everything up to mounting itself.
func prepare(c *mountConfig, resume *resumption, logger *log.Logger) (*ready, error) {
	// Until the mount answers, collecting garbage is a waste of time, unless
	// there is much of it.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(32 << 20)

	clock := time.Now()
	step := func(format string, args ...any) {
		if c.verbose {
			logger.Printf("%s (%v)", fmt.Sprintf(format, args...), time.Since(clock).Round(time.Microsecond))
		}
		clock = time.Now()
	}
	dir, err := resume.dir(c)
	if err == nil && dir == "" {
		dir, err = c.checkMountpoint()
	}
	if err != nil {
		return nil, err
	}
	a, err := openArchive(c.source, c.lookup)
	var notFound *source.NotFoundError
	if errors.As(err, &notFound) && c.root == "" {
		if kept := newCache("", c, logger).Find(notFound.Release); kept != "" {
			logger.Printf("warning: kernel %s has no headers archive any more: mounting the cache file of it, %s", notFound.Release, kept)
			a, err = source.Open(kept)
		}
	}
	if err != nil {
		return nil, err
	}
	step("found a headers archive of %d bytes in the %s %s", len(a.Data), a.Kind, a.Path)
	t, kept, from, err := loadCached(a, dir, c, logger)
	if err != nil {
		return nil, err
	}
	release, releaseErr := t.Release()
	step("loaded %d entries, %d bytes, of kernel %s: %s", t.Len(), t.Bytes, release, from)
	if isFind(c.source) { // an archive that was named is the one that was meant
		if releaseErr != nil {
			return nil, fmt.Errorf("%s: %w", a.Path, releaseErr)
		}
		if err := checkRelease(c, a.Path, release, logger); err != nil {
			return nil, err
		}
	}
	builds := treeHasKbuild(t)
	if builds {
		if err := c.checkBuilds(t); err != nil {
			logger.Printf("warning: %s: modules can't be built in it: %v", a.Path, err)
			builds = false
		}
	}
	shown := cmp.Or(c.source, "kheaders")
	if !isFind(shown) {
		shown = a.Path
	}
	return &ready{shown, dir, t, kept, builds, step}, nil
}

// checkMountpoint returns the path of a directory that can be mounted on, and finds out
// what would make mounting fail.
func (c *mountConfig) checkMountpoint() (dir string, err error) {
	dir, on, err := c.prepareMountpoint()
	if err != nil {
		return "", err
	}
	on.Close()
	return dir, checkFUSE(dir)
}

// mount returns when the mount answers.
func (r *ready) mount(c *mountConfig, resume *resumption, logger *log.Logger) (*mounted, error) {
	// From here on a signal must not leave a mount behind that nobody serves.
	m := &mounted{dir: r.dir, tree: r.tree, kept: r.kept, builds: r.builds, holder: holder{-1}}
	m.signals, m.replaceSignals = make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(m.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(m.replaceSignals, replaceSignal)
	if resume.state != nil {
		err := m.resume(resume, c.options(r, logger))
		if !errors.Is(err, fs.ErrOtherTree) {
			r.step("resumed serving %s", r.dir)
			return m, err
		}
		logger.Printf("warning: %s: mounting it anew: %v", r.dir, err)
		if err := resume.giveUp(); err != nil {
			return nil, err
		}
	}
	// Another process that started at the same time may have mounted already.
	unlock := lockMountpoint(r.dir)
	defer unlock()
	dir, on, err := c.prepareMountpoint()
	if err != nil {
		return nil, err
	}
	defer on.Close()
	if dir != r.dir {
		return nil, fmt.Errorf("mount point %s: it was %s before, and is %s now", c.mountpoint, r.dir, dir)
	}
	o := c.options(r, logger)
	o.On = on
	if m.Mounted, err = fs.Mount(r.tree, dir, o); err != nil {
		return nil, mountError(err, dir, c.allowOther)
	}
	r.step("mounted on %s", dir)
	return m, nil
}

func (c *mountConfig) options(r *ready, logger *log.Logger) fs.Options {
	return fs.Options{
		Source:      r.source,
		NoExec:      c.noExec,
		NoSymfollow: c.noSymfollow,
		AllowOther:  c.allowOther || os.Geteuid() == 0,
		Data:        c.data,
		Debug:       c.debug,
		Log:         logger,
	}
}

// saveMemory makes the collector run when garbage reaches the given percentage of
// what is in use: a few megabytes in few pieces, which costs little time.
func saveMemory(percent int) {
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(math.MaxInt64)
}

// checkRelease compares the release of headers that were found with the wanted one.
func checkRelease(c *mountConfig, path, got string, logger *log.Logger) error {
	want, err := c.wanted()
	if err != nil || got == want {
		return err
	}
	if got == "" {
		got = "an unknown kernel"
	}
	if c.strict {
		return fmt.Errorf("%s: headers of %s instead of %s", path, got, want)
	}
	logger.Printf("warning: %s: headers of %s instead of %s", path, got, want)
	return nil
}
