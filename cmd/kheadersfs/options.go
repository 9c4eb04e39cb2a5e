// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// A mountConfig is what the flags, the words of -o and the operands of a mount say.
type mountConfig struct {
	foreground bool
	force      bool
	lookup
	strict   bool
	cacheDir string
	noCache  bool
	link     linkMode
	verbose  bool
	debug    bool
	readyFD  int // see background.go

	// By -o alone.
	noExec      bool
	noSymfollow bool
	allowOther  bool
	data        []string // for mount(2)

	source, mountpoint string
}

// words returns the flags whose names are also words of -o.
func (c *mountConfig) words() *pflag.FlagSet {
	words := pflag.NewFlagSet("", pflag.ContinueOnError)
	words.SortFlags = false
	words.BoolVarP(&c.foreground, "foreground", "f", false, "stay in the foreground")
	c.lookup.define(words)
	words.BoolVar(&c.force, "force", false, "as root, mount on a directory that others can replace")
	words.BoolVar(&c.strict, "strict", false, "fail if the headers found are of another release")
	words.Var(text{&c.cacheDir, "DIR"}, "cache-dir", "keep what was decoded in DIR")
	words.BoolVar(&c.noCache, "no-cache", false, "keep what was decoded in memory only")
	words.Var(&c.link, "link", "have bcc and bpftrace find the headers, or --link=force:\nsee kheadersfs help link")
	words.Lookup("link").NoOptDefVal = "yes"
	words.BoolVarP(&c.verbose, "verbose", "v", false, "log what was found, and the time of each step")
	words.BoolVar(&c.debug, "debug", false, "log each FUSE request")
	return words
}

// ignored are words of mount(8) and fstab(5), and options of libfuse (fuse(8)),
// that change nothing for a filesystem that is read-only, has no devices and no
// set-user-ID programs, never changes, and does its caching itself. mount(8)
// removes most of its own words, but not all.
var ignored = strings.Fields(`
	defaults ro rw suid nosuid dev nodev exec async sync dirsync
	atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime
	iversion noiversion mand nomand silent loud symfollow
	auto noauto nofail _netdev user nouser users nousers owner noowner group nogroup
	comment= user= uhelper= helper= default_permissions

	nonempty auto_unmount fsname= subtype= max_read= max_write= max_readahead= blksize=
	kernel_cache auto_cache noauto_cache direct_io writeback_cache no_writeback_cache
	attr_timeout= entry_timeout= negative_timeout= ac_attr_timeout= noforget remember=
	big_writes large_read async_read sync_read atomic_o_trunc parallel_direct_writes
	splice_read splice_write splice_move no_splice_read no_splice_write no_splice_move
	hard_remove use_ino readdir_ino intr intr_signal= clone_fd max_threads= max_idle_threads=
	max_background= congestion_threshold= no_remote_lock no_remote_flock no_remote_posix_lock`)

// ownWords are the words that no flag has, but for ignored ones.
var ownWords = []string{"noexec", "nosymfollow", "allow_other", "context=", "fscontext=", "defcontext=", "rootcontext="}

// refused are words that would change what is seen, with what helps instead.
var refused = map[string]string{
	"remount":         "umount it and mount it again: nothing about a mount can change",
	"allow_root":      "use allow_other, which lets root in too",
	"uid":             "leave it out: files belong to root, and every user can read them",
	"gid":             "leave it out: files belong to root, and every user can read them",
	"umask":           "leave it out: the modes of files and directories cannot be changed",
	"setuid":          "use the type fuse3.kheadersfs, whose helper (package fuse3) takes it",
	"drop_privileges": "use the type fuse3.kheadersfs, whose helper (package fuse3) takes it",
	"modules":         "leave it out: libfuse's modules are not supported",
}

// applyOptions takes in the words of all -o.
func (c *mountConfig) applyOptions(words *pflag.FlagSet, lists []string) error {
	for _, list := range lists {
		for _, word := range splitOptions(list) {
			if err := c.applyOption(words, word); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *mountConfig) applyOption(words *pflag.FlagSet, word string) error {
	name, value, hasValue := strings.Cut(word, "=")
	key := name // as the lists have it
	if hasValue {
		key += "="
	}
	flag := words.Lookup(name)
	switch {
	case word == "" || slices.Contains(ignored, key) || strings.HasPrefix(word, "x-") || strings.HasPrefix(word, "X-"):
	case flag != nil:
		return setFlag(flag, word, value, hasValue)
	case refused[name] != "":
		return withHint(usageErrorf("option %q is not supported", word), refused[name])
	case !slices.Contains(ownWords, key):
		return unknownOption(words, word, name)
	case key == "noexec":
		c.noExec = true
	case key == "nosymfollow":
		c.noSymfollow = true
	case key == "allow_other":
		c.allowOther = true
	default: // a context of SELinux, for mount(2)
		c.data = append(c.data, word)
	}
	return nil
}

// setFlag sets the flag whose name is a word of -o.
func setFlag(flag *pflag.Flag, word, value string, hasValue bool) error {
	switch {
	case flag.Value.Type() == "bool" && hasValue:
		return usageErrorf("option %q: %s takes no value", word, flag.Name)
	case !hasValue && flag.NoOptDefVal == "":
		return usageErrorf("option %q needs a value: %s=%s", word, flag.Name, flag.Value.Type())
	case !hasValue:
		value = flag.NoOptDefVal
	}
	if err := flag.Value.Set(value); err != nil {
		return usageErrorf("option %q: %v", word, err)
	}
	return nil
}

// An unknownOptionError is a usage error that mount -s tolerates.
type unknownOptionError struct{ error }

func (e unknownOptionError) Unwrap() error { return e.error }

func unknownOption(words *pflag.FlagSet, word, name string) error {
	known := flagNames(words)
	for _, w := range slices.Concat(ownWords, ignored) {
		known = append(known, strings.TrimSuffix(w, "="))
	}
	err := error(unknownOptionError{usageErrorf("unknown option %q", word)})
	if near := nearest(name, known); near != "" && near != name {
		return withHint(err, "did you mean "+near+"? kheadersfs help mount lists the options")
	}
	return withHint(err, "kheadersfs help mount lists the options")
}

// splitOptions divides a list at its commas. A comma in double quotes does not
// count, as in an SELinux context (mount(8)), nor one behind a backslash, which
// is removed.
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
