// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/cache"
	"github.com/kheadersfs/kheadersfs/index/source"
)

// systemCache is where root's mounts keep what was decoded, unless they are told
// otherwise: nowhere, if who links the program sets it to nothing.
var systemCache = "/var/cache/kheadersfs"

// loadCached makes a tree of an archive, or takes it from the cache. keep, which is
// called when it is mounted on dir, begins to write what is not there yet, and
// returns what ends that.
func loadCached(a *source.Archive, dir string, c *mountConfig, logger *log.Logger) (t *index.Tree, keep func() (finish func()), err error) {
	var kept *cache.Cache
	missed := false
	t, err = index.OpenCached(a.Data, func(hash [32]byte) *index.Tree {
		archive := a.Path
		if strings.HasPrefix(archive, dir+"/") {
			archive = ""
		}
		if kept = openCache(archive, c, logger); kept != nil {
			if t := kept.Get(hash); t != nil {
				return t
			}
		}
		missed = true
		saveMemory(25) // decoding makes more
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	return t, func() func() {
		if kept == nil {
			return func() {}
		}
		if missed {
			kept.Put(t)
		}
		return kept.Wait
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
