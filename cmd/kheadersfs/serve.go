// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log"
	"os"
	"runtime/debug"
	"time"

	"github.com/kheadersfs/kheadersfs/fs"
	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/cache"
)

// A mounted tree.
type mounted struct {
	*fs.Mounted
	dir     string
	signals chan os.Signal
	tree    *index.Tree
	kept    *cache.Cache
}

// serve returns when the tree has been unmounted, by anybody, and the cache file is
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

// stopped returns true when the tree has been unmounted, which closes done, and
// false when signals end the serving of a tree that is still mounted.
func (m *mounted) stopped(done <-chan struct{}, logger *log.Logger) bool {
	select {
	case <-done:
		return true
	case <-m.signals:
	}
	if fs.IsHandedOver(m.dir) {
		return false // whoever handed the mount over unmounts it
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
