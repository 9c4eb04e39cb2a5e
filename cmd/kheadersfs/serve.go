// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/kheadersfs/kheadersfs/fs"
	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/cache"
)

// A mounted tree.
type mounted struct {
	*fs.Mounted
	dir            string
	signals        chan os.Signal
	replaceSignals chan os.Signal
	tree           *index.Tree
	kept           *cache.Cache
	builds         bool   // modules can be built in it
	state          *state // nil if no other process can serve the mount
	holder         holder
}

// resume serves a mount on that another process has served.
func (m *mounted) resume(r *resumption, o fs.Options) error {
	next, err := fs.Prepare(m.tree, m.dir, r.Connection, o)
	if err != nil {
		return err
	}
	m.state, m.holder.life = r.state, r.life
	// The one after this server must not rely on what the one before has answered.
	answered := r.Connection.Answered
	r.Connection.Answered = false
	if err := m.state.write(); err != nil {
		return err
	}
	m.Mounted, err = next.Serve(answered)
	return err
}

// serve returns when the tree has been unmounted, by anybody, and the cache file is
// written. args are those of the command.
func (m *mounted) serve(c *mountConfig, args []string, logger *log.Logger) error {
	directory, _ := os.Getwd()
	if !c.isService() {
		os.Unsetenv("NOTIFY_SOCKET") // it is that of the service that has started the command
	}
	link := m.makeLink(c, logger)
	if m.state == nil { // else the kernel has them
		m.lookUpNames(directory, logger)
	}
	if c.readyFD >= 0 {
		if err := enterBackground(c.readyFD, logger); err != nil {
			m.Unmount()
			link.unmounted(logger)
			return err
		}
	}
	if !c.foreground {
		os.Chdir("/")
	}
	if err := m.outlive(c, directory, args); err != nil {
		logger.Printf("warning: %s: the mount will end with this process: %v", m.dir, err)
	}
	saveMemory(10)
	debug.FreeOSMemory()
	m.kept.Keep(m.tree)
	notify(m.status() + "\n" + daemon.SdNotifyReady)
	done := make(chan struct{})
	go func() {
		m.Wait()
		close(done)
	}()
	unmounted, err := m.stopped(done, logger)
	if err != nil {
		return err // the next server goes on with the link
	}
	link.unmounted(logger)
	if !unmounted {
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

// outlive sees to it that another process goes on with the mount when this one ends.
func (m *mounted) outlive(c *mountConfig, directory string, args []string) (err error) {
	conn := m.Connection()
	if conn == nil {
		return nil
	}
	isNew := m.state == nil
	if isNew {
		if m.state, err = newState(directory, args, m.dir, conn); err != nil {
			return err
		}
	}
	m.state.Systemd = c.isService()
	m.state.Servers++
	if err := m.state.write(); err != nil {
		return err
	}
	switch {
	case m.state.Systemd && isNew:
		err = keepBySystemd(m.state)
	case !c.foreground && m.holder.life < 0:
		m.holder, err = startHolder(m.state)
	}
	return err
}

// status is what systemctl status shows.
func (m *mounted) status() string {
	release, _ := m.tree.Release()
	return fmt.Sprintf("STATUS=%d entries of kernel %s on %s", m.tree.Len(), cmp.Or(release, "unknown"), m.dir)
}

// stopped returns true when the tree has been unmounted, which closes done, and
// false when signals end the serving of a tree that is still mounted, or this process
// could not be replaced by the next one.
func (m *mounted) stopped(done <-chan struct{}, logger *log.Logger) (bool, error) {
	served := time.After(500 * time.Millisecond)
	for waiting := true; waiting; {
		select {
		case <-done:
			return true, nil
		case <-served:
			if m.state != nil {
				m.state.Early = 0
				m.state.write()
			}
		case <-m.replaceSignals:
			if m.state == nil {
				continue
			}
			if err := m.replace(logger); err != nil {
				return false, err
			}
		case <-m.signals:
			waiting = false
		}
	}
	notify(daemon.SdNotifyStopping)
	defer m.holder.dismiss()
	if fs.IsHandedOver(m.dir) {
		return false, nil // whoever handed the mount over unmounts it
	}
	if err := m.Unmount(); err != nil {
		logger.Printf("%v: serving it until it is unmounted, or until another signal", err)
	} else {
		select {
		case <-done:
			return true, nil
		case <-time.After(200 * time.Millisecond):
			logger.Printf("files are still open below %s: serving them until they are closed, or until another signal", m.dir)
		}
	}
	select {
	case <-done:
		return true, nil
	case <-m.signals:
		return false, nil
	}
}
