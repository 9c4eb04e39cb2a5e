// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/cache"
	"github.com/kheadersfs/kheadersfs/index/source"
)

// systemCache is where root's mounts keep what was decoded, unless they are told
// otherwise: nowhere, if who links the program sets it to nothing.
var systemCache = "/var/cache/kheadersfs"

// loadCached makes a tree of an archive, or takes it from the cache. keep begins
// to write what is not there yet, and returns what waits for the end of that.
func loadCached(a *source.Archive, c *mountConfig, logger *log.Logger) (t *index.Tree, keep func() (wait func()), err error) {
	var missed *cache.Cache
	t, err = index.OpenCached(a.Data, func(hash [32]byte) *index.Tree {
		kept := openCache(a.Path, c, logger)
		if kept != nil {
			if t := kept.Get(hash); t != nil {
				return t
			}
		}
		missed = kept
		saveMemory(25) // decoding makes more
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	return t, func() func() {
		if missed == nil {
			return func() {}
		}
		missed.Put(t)
		return missed.Wait
	}, nil
}

// openCache opens the directory of cache files; nil if there is to be none.
func openCache(archive string, c *mountConfig, logger *log.Logger) *cache.Cache {
	warn := func(format string, args ...any) { logger.Printf("warning: "+format, args...) }
	dir, err := c.cacheDir, error(nil)
	switch {
	case c.noCache:
		return nil
	case dir != "":
	case os.Geteuid() == 0:
		dir = systemCache
	default:
		if dir, err = os.UserCacheDir(); err == nil {
			dir = filepath.Join(dir, "kheadersfs")
		}
	}
	if dir == "" && err == nil {
		return nil
	}
	var kept *cache.Cache
	if err == nil {
		kept, err = cache.Open(dir, archive, warn)
	}
	if err != nil {
		warn("no cache: %v", err)
		return nil
	}
	return kept
}
