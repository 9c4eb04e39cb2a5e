// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/kheadersfs/kheadersfs/fs"
	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/cache"
)

func mountCommand(args []string, stdout, stderr io.Writer) error {
	var c mountConfig
	flags := newMountFlags(&c)
	if done, err := parse(flags, args, 1, 2, stdout); done || err != nil {
		return err
	}
	if err := c.applyOptions(); err != nil {
		return err
	}
	c.mountpoint = flags.Arg(0)
	if flags.NArg() == 2 {
		c.source, c.mountpoint = flags.Arg(0), flags.Arg(1)
	}
	if !c.foreground && c.readyFD < 0 {
		return background(args, c.mountpoint)
	}
	logger := newLogger(stderr)
	m, err := mount(&c, logger)
	if err != nil {
		return err
	}
	return m.serve(&c, logger)
}

func newLogger(w io.Writer) *log.Logger {
	return log.New(w, "kheadersfs: ", log.Lmsgprefix)
}

// A mounted tree.
type mounted struct {
	*fs.Mounted
	dir     string
	signals chan os.Signal
	tree    *index.Tree
	kept    *cache.Cache
}

// mount does everything up to a mount that answers.
func mount(c *mountConfig, logger *log.Logger) (*mounted, error) {
	// Until the mount answers there is no garbage that is worth the time, unless
	// it is much.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(32 << 20)

	clock := time.Now()
	step := func(format string, args ...any) {
		if c.verbose {
			logger.Printf("%s (%v)", fmt.Sprintf(format, args...), time.Since(clock).Round(time.Microsecond))
		}
		clock = time.Now()
	}
	dir, err := prepareMountpoint(c.mountpoint)
	if err != nil {
		return nil, err
	}
	if err := checkFUSE(dir); err != nil {
		return nil, err
	}
	a, err := openArchive(c.source, c.release)
	if err != nil {
		return nil, err
	}
	step("found a headers archive of %d bytes in the %s %s", len(a.Data), a.Kind, a.Path)
	t, kept, err := loadCached(a, dir, c, logger)
	if err != nil {
		return nil, err
	}
	release, releaseErr := t.Release()
	step("loaded %d entries, %d bytes, of kernel %s", t.Len(), t.Bytes, release)
	if isFind(c.source) { // one that was named is taken at its word
		if releaseErr != nil {
			return nil, fmt.Errorf("%s: %w", a.Path, releaseErr)
		}
		if err := checkRelease(c, a.Path, release, logger); err != nil {
			return nil, err
		}
	}
	source := "kheaders"
	if c.source != "" {
		source = c.source
		if !isFind(source) {
			source = a.Path
		}
	}
	// From here on a signal must not leave a mount behind that nobody serves.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// Somebody who started at the same time may have been quicker.
	unlock := lockMountpoint(dir)
	defer unlock()
	if _, err := prepareMountpoint(dir); err != nil {
		return nil, err
	}
	mnt, err := fs.Mount(t, dir, fs.Options{
		Source:      source,
		NoExec:      c.noExec,
		NoSymfollow: c.noSymfollow,
		AllowOther:  c.allowOther || os.Geteuid() == 0,
		Data:        c.data,
		Debug:       c.debug,
		Log:         logger,
	})
	if err != nil {
		return nil, mountError(err, dir)
	}
	step("mounted on %s", dir)
	return &mounted{Mounted: mnt, dir: dir, signals: signals, tree: t, kept: kept}, nil
}

// saveMemory has garbage collected when there is so much of it, in percent of what
// lives on: a few megabytes in few pieces, so that little costs little.
func saveMemory(percent int) {
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(math.MaxInt64)
}

// checkRelease compares the release of headers that were found with what was
// looked for.
func checkRelease(c *mountConfig, path, got string, logger *log.Logger) error {
	want, err := runningOr(c.release)
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

// checkFUSE finds out what would make mounting fail, before any work is done.
func checkFUSE(dir string) error {
	if fs.IsHandedOver(dir) {
		return nil
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, os.ErrNotExist):
		return withHint(err, "modprobe fuse; in a container, pass the device in (--device /dev/fuse)")
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return withHint(err, "this kernel has no FUSE loaded: modprobe fuse")
	case os.Geteuid() != 0: // fusermount3 opens it with the user's rights too
		return withHint(err, "chmod 0666 /dev/fuse, as udev's rules have it, or mount as root")
	}
	return withHint(err, "a container needs the right to use the device (--device /dev/fuse)")
}

// mountError adds the next step to an error of mounting itself.
func mountError(err error, dir string) error {
	if text := err.Error(); strings.HasPrefix(text, "fusermount exited") { // and has told why
		err = errors.New(strings.TrimSpace(text))
	}
	wrapped := fmt.Errorf("mounting on %s: %w", dir, err)
	var missing *exec.Error
	switch {
	case errors.As(err, &missing):
		return withHint(wrapped, "install fuse3: fusermount3 mounts for users who are not root")
	case os.Geteuid() == 0 && errors.Is(err, syscall.EPERM):
		return withHint(wrapped, "mounting needs CAP_SYS_ADMIN: a container must be given it")
	}
	return wrapped
}

// serve returns when the tree has been unmounted, by whoever, and the cache file is
// written.
func (m *mounted) serve(c *mountConfig, logger *log.Logger) error {
	if c.readyFD >= 0 {
		if err := enterBackground(c.readyFD, logger); err != nil {
			m.Unmount()
			return err
		}
	}
	saveMemory(10)
	debug.FreeOSMemory()
	m.kept.Keep(m.tree)
	done := make(chan struct{})
	go func() {
		m.Wait()
		close(done)
	}()
	if !m.stopped(done, logger) {
		return nil
	}
	written := make(chan struct{})
	go func() {
		m.kept.Wait()
		close(written)
	}()
	select {
	case <-written:
	case <-m.signals:
	}
	return nil
}

// stopped returns when the tree has been unmounted, which done tells, or when it is
// to be served no longer all the same, by signals: then it is false.
func (m *mounted) stopped(done <-chan struct{}, logger *log.Logger) bool {
	select {
	case <-done:
		return true
	case <-m.signals:
	}
	if fs.IsHandedOver(m.dir) {
		return false // whose mount it is ends with us
	}
	if err := m.Unmount(); err != nil {
		logger.Printf("%v: serving it until it is unmounted, or until another signal", err)
	} else {
		select {
		case <-done:
			return true
		case <-time.After(200 * time.Millisecond):
			logger.Printf("files are still open below %s: serving them until they are closed, or until another signal", m.dir)
		}
	}
	select {
	case <-done:
		return true
	case <-m.signals:
		return false
	}
}
