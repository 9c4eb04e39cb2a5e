// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/spf13/pflag"
)

// A mountConfig is what the flags and -o of a mount say.
type mountConfig struct {
	foreground bool
	verbose    bool
	debug      bool
	strict     bool
	release    string
	cacheDir   string
	noCache    bool
	options    []string // the words of -o, not looked at yet
	readyFD    int      // see daemon.go

	// By -o alone.
	noExec      bool
	noSymfollow bool
	allowOther  bool
	data        []string // for mount(2)

	source, mountpoint string
}

func newMountFlags(c *mountConfig) *pflag.FlagSet {
	flags := pflag.NewFlagSet("kheadersfs", pflag.ContinueOnError)
	flags.BoolVarP(&c.foreground, "foreground", "f", false, "stay in the foreground")
	flags.StringVar(&c.release, "release", "", "find the headers of kernel `R` instead of the running one's")
	flags.BoolVar(&c.strict, "strict", false, "fail if the headers found are of another release")
	flags.StringVar(&c.cacheDir, "cache-dir", "", "keep what was decoded in `DIR` (root: /var/cache/kheadersfs, else\nkheadersfs in $XDG_CACHE_HOME or ~/.cache)")
	flags.BoolVar(&c.noCache, "no-cache", false, "keep it in memory")
	flags.StringArrayVarP(&c.options, "options", "o", nil, "mount `options`, as in fstab; the flags above too, as release=R,strict")
	flags.BoolVarP(&c.verbose, "verbose", "v", false, "log what was found, and how long each step took")
	flags.BoolVar(&c.debug, "debug", false, "log each FUSE request")
	flags.IntVar(&c.readyFD, "ready-fd", -1, "")
	flags.Lookup("ready-fd").Hidden = true
	return flags
}

// ignored are the words of mount(8) and fstab(5) that say nothing about a
// filesystem that nobody writes to, that holds no devices, and whose programs
// gain no privileges. mount(8) removes most of what is only for itself, not all.
var ignored = map[string]bool{}

func init() {
	for word := range strings.FieldsSeq(`
		defaults ro rw suid nosuid dev nodev exec async sync dirsync
		atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime
		iversion noiversion mand nomand silent loud symfollow
		auto noauto nofail _netdev user nouser users nousers owner noowner group nogroup
		default_permissions`) {
		ignored[word] = true
	}
}

// ignoredPrefixes are of words with a value of any kind, or with a name that
// goes on.
var ignoredPrefixes = []string{"x-", "X-", "comment=", "user=", "uhelper=", "helper="}

// selinux are the words that mount(2) takes for SELinux.
var selinux = []string{"context=", "fscontext=", "defcontext=", "rootcontext="}

// applyOptions takes in the words of all -o.
func (c *mountConfig) applyOptions() error {
	for _, list := range c.options {
		for _, word := range splitOptions(list) {
			if err := c.applyOption(word); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *mountConfig) applyOption(word string) error {
	name, value, hasValue := strings.Cut(word, "=")
	switch {
	case word == "" || ignored[word] || hasPrefix(word, ignoredPrefixes):
	case word == "noexec":
		c.noExec = true
	case word == "nosymfollow":
		c.noSymfollow = true
	case word == "allow_other":
		c.allowOther = true
	case word == "foreground":
		c.foreground = true
	case word == "strict":
		c.strict = true
	case word == "verbose":
		c.verbose = true
	case word == "debug":
		c.debug = true
	case word == "no-cache":
		c.noCache = true
	case name == "cache-dir" && hasValue:
		if value == "" {
			return usageErrorf("option %q names no directory", word)
		}
		c.cacheDir = value
	case name == "release" && hasValue:
		if value == "" {
			return usageErrorf("option %q names no release", word)
		}
		c.release = value
	case hasPrefix(word, selinux):
		c.data = append(c.data, word)
	case word == "remount":
		return withHint(usageErrorf("option %q is not supported: nothing about a mount can change", word),
			"umount it and mount it again")
	default:
		return usageErrorf("unknown option %q", word)
	}
	return nil
}

func hasPrefix(word string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(word, p) {
			return true
		}
	}
	return false
}

// splitOptions divides a list at its commas. Those in double quotes don't
// count, as in an SELinux context (mount(8)), nor those behind a backslash,
// which goes.
func splitOptions(list string) []string {
	var words []string
	var word strings.Builder
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && i+1 < len(list):
			i++
			word.WriteByte(list[i])
		case c == ',' && !quoted:
			words = append(words, word.String())
			word.Reset()
		default:
			quoted = quoted != (c == '"')
			word.WriteByte(c)
		}
	}
	return append(words, word.String())
}
