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

// loadCached returns the tree of an archive that is going to be mounted on dir, the
// cache that keeps it, and where the tree comes from.
func loadCached(a *source.Archive, dir string, c *mountConfig, logger *log.Logger) (t *index.Tree, kept *cache.Cache, from string, err error) {
	f, err := index.Parse(a, a.Size())
	if err != nil {
		return nil, nil, "", fmt.Errorf("%s: %w", a.Path, err)
	}
	if t := f.Tree(); t != nil {
		return t, nil, "by its own index", nil
	}
	archive := a.Path
	if strings.HasPrefix(archive, dir+"/") {
		archive = ""
	}
	kept = newCache(archive, c, logger)
	t, err = kept.Tree(f)
	file := kept.File()
	switch {
	case t != nil:
		from = "from the cache file " + file
	case file != "":
		from = "decoded, to be kept in the cache file " + file
	default:
		from = "decoded, to be kept in memory"
		if kept != nil { // which has warned
			fmt.Fprintln(logger.Writer(), noCacheHint)
		}
	}
	if t == nil && err == nil {
		saveMemory(25) // decoding makes more garbage
		t, err = f.Decode()
	}
	if err != nil {
		return nil, nil, "", fmt.Errorf("%s: %w", a.Path, err)
	}
	return t, kept, from, nil
}

// noCacheHint follows the warning that there is no cache.
const noCacheHint = "hint: --cache-dir DIR uses another directory, --no-cache none"

// newCache returns the cache; nil if there is to be none.
func newCache(archive string, c *mountConfig, logger *log.Logger) *cache.Cache {
	if c.noCache {
		return nil
	}
	warn := func(format string, args ...any) { logger.Printf("warning: "+format, args...) }
	dir, err := cacheDir(c)
	if err != nil {
		warn("no cache: %v\n%s", err, noCacheHint)
		return nil
	}
	return cache.New(dir, archive, warn)
}

// cacheDir returns the directory of cache files. A service of systemd is given one
// in $CACHE_DIRECTORY, or several with colons between them (systemd.exec(5)).
func cacheDir(c *mountConfig) (string, error) {
	given, _, _ := strings.Cut(os.Getenv("CACHE_DIRECTORY"), ":")
	switch {
	case c.cacheDir != "":
		return c.cacheDir, nil
	case given != "":
		return given, nil
	case os.Geteuid() == 0:
		return "/var/cache/kheadersfs", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "kheadersfs"), nil
}
