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

// loadCached returns the tree of an archive that is going to be mounted on dir, and the
// cache that keeps it.
func loadCached(a *source.Archive, dir string, c *mountConfig, logger *log.Logger) (*index.Tree, *cache.Cache, error) {
	archive := a.Path
	if strings.HasPrefix(archive, dir+"/") {
		archive = ""
	}
	kept := newCache(archive, c, logger)
	f, err := index.Parse(a, a.Size())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	t, err := kept.Tree(f)
	if t == nil && err == nil {
		saveMemory(25) // decoding makes more
		t, err = f.Decode()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	return t, kept, nil
}

// newCache returns the cache; nil if there is to be none.
func newCache(archive string, c *mountConfig, logger *log.Logger) *cache.Cache {
	warn := func(format string, args ...any) { logger.Printf("warning: "+format, args...) }
	dir := c.cacheDir
	switch {
	case c.noCache:
		return nil
	case dir != "":
	case os.Geteuid() == 0:
		dir = systemCache
	default:
		user, err := os.UserCacheDir()
		if err != nil {
			warn("no cache: %v", err)
			return nil
		}
		dir = filepath.Join(user, "kheadersfs")
	}
	if dir == "" {
		return nil
	}
	return cache.New(dir, archive, warn)
}
