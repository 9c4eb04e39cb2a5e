// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const listed = "kheadersfs help mount lists the options"

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		options string
		want    mountConfig
		err     string // with the hint behind a bar
	}{
		{"", mountConfig{}, ""},
		{"rw,dev,suid", mountConfig{}, ""}, // what mount(8) passes when there are none
		{"ro,noatime,relatime,sync,exec,_netdev,nofail,noauto,user,defaults", mountConfig{}, ""},
		{"x-systemd.automount,X-mount.mkdir=755,comment=a b,user=me,uhelper=x", mountConfig{}, ""},
		{"nonempty,auto_unmount,fsname=a,subtype=b,max_read=1,blksize=512,kernel_cache,auto_cache", mountConfig{}, ""},
		{"attr_timeout=1,entry_timeout=1,negative_timeout=1,ac_attr_timeout=1,big_writes,intr", mountConfig{}, ""},
		{"async_read,sync_read,hard_remove,use_ino,readdir_ino,max_background=5,direct_io", mountConfig{}, ""},
		{"release=6.1.0,root=/host,strict", mountConfig{lookup: lookup{"6.1.0", "/host"}, strict: true}, ""},
		{"foreground,verbose,debug", mountConfig{foreground: true, verbose: true, debug: true}, ""},
		{"cache-dir=/a/b,no-cache", mountConfig{cacheDir: "/a/b", noCache: true}, ""},
		{"link", mountConfig{link: "yes"}, ""},
		{"link=force", mountConfig{link: "force"}, ""},
		{"link=", mountConfig{}, `option "link=": "" is neither yes nor force|`},
		{"noexec,nosymfollow,allow_other,default_permissions", mountConfig{noExec: true, noSymfollow: true, allowOther: true}, ""},
		{`context="system_u:object_r:usr_t:s0:c1,c2",ro`, mountConfig{data: []string{`context="system_u:object_r:usr_t:s0:c1,c2"`}}, ""},
		{`release=a\,b`, mountConfig{lookup: lookup{release: "a,b"}}, ""},
		{"release=", mountConfig{}, `option "release=": the value is empty|`},
		{"cache-dir=", mountConfig{}, `option "cache-dir=": the value is empty|`},
		{"no-cache=1", mountConfig{}, `option "no-cache=1": no-cache takes no value|`},
		{"release", mountConfig{}, `option "release" needs a value: release=R|`},
		{"noexec=1", mountConfig{}, `unknown option "noexec=1"|` + listed},
		{"help", mountConfig{}, `unknown option "help"|` + listed},
		{"options=ro", mountConfig{}, `unknown option "options=ro"|` + listed},
		{"ready-fd=3", mountConfig{}, `unknown option "ready-fd=3"|` + listed},
		{"ro,nonsense", mountConfig{}, `unknown option "nonsense"|` + listed},
		{"no_cache", mountConfig{}, `unknown option "no_cache"|did you mean no-cache? ` + listed},
		{"relaese=6.1", mountConfig{}, `unknown option "relaese=6.1"|did you mean release? ` + listed},
		{"noatmie", mountConfig{}, `unknown option "noatmie"|did you mean noatime? ` + listed},
		{"uid=0", mountConfig{}, `option "uid=0" is not supported|leave it out: files belong to root, and every user can read them`},
		{"allow_root", mountConfig{}, `option "allow_root" is not supported|use allow_other, which lets root in too`},
		{"umask=022", mountConfig{}, `option "umask=022" is not supported|leave it out: the modes of files and directories cannot be changed`},
		{"remount,rw", mountConfig{}, `option "remount" is not supported|umount it and mount it again: nothing about a mount can change`},
	} {
		c := &mountConfig{}
		err := c.applyOptions(c.words(), []string{test.options})
		if test.err != "" {
			if err == nil || err.Error()+"|"+hintOf(err) != test.err || !isUsage(err) {
				t.Errorf("%q: %v|%s instead of %s", test.options, err, hintOf(err), test.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(*c, test.want) {
			t.Errorf("%q: %+v, %v instead of %+v", test.options, *c, err, test.want)
		}
	}
}

func TestSplitOptions(t *testing.T) {
	for list, want := range map[string][]string{
		"":            {""},
		"a":           {"a"},
		"a,b=c,d":     {"a", "b=c", "d"},
		`a\,b,c`:      {"a,b", "c"},
		`a\\,b`:       {`a\`, "b"},
		`a="x,y",b`:   {`a="x,y"`, "b"},
		`a="x\",y",b`: {`a="x",y"`, "b"},
		`a\`:          {`a\`},
		",,":          {"", "", ""},
	} {
		if got := splitOptions(list); !slices.Equal(got, want) {
			t.Errorf("%q: %q instead of %q", list, got, want)
		}
	}
}

func FuzzOptions(f *testing.F) {
	f.Add(`rw,dev,suid,release=6.1,context="a,b",x-y=z,foo\,bar`)
	f.Fuzz(func(t *testing.T, list string) {
		words := splitOptions(list)
		if !strings.ContainsAny(list, `\"`) && strings.Join(words, ",") != list {
			t.Errorf("%q: %q", list, words)
		}
		c := &mountConfig{}
		if err := c.applyOptions(c.words(), []string{list}); err != nil && !strings.Contains(err.Error(), "option") {
			t.Error(err)
		}
	})
}

func TestUnescapeMount(t *testing.T) {
	for s, want := range map[string]string{
		"/mnt":            "/mnt",
		`/a\040b`:         "/a b",
		`/tab\011nl\012`:  "/tab\tnl\n",
		`/back\134slash`:  `/back\slash`,
		`/cut\04`:         `/cut\04`,
		`/not\999octal`:   `/not\999octal`,
		`/two\040\040end`: "/two  end",
	} {
		if got := unescapeMount(s); got != want {
			t.Errorf("%q: %q instead of %q", s, got, want)
		}
	}
}

// kheadersfs(8) has each word of -o and each command.
func TestManual(t *testing.T) {
	b, err := os.ReadFile("../../docs/man/kheadersfs.8")
	if err != nil {
		t.Fatal(err)
	}
	words := slices.Concat(ownWords, ignored, slices.Collect(maps.Keys(refused)), flagNames((&mountConfig{}).words()))
	for _, cmd := range commands() {
		words = append(words, cmd.name)
	}
	text := strings.NewReplacer("\n.", " ", "\n", " ").Replace(string(b)) + " "
	for _, word := range words {
		if w := strings.TrimSuffix(word, "="); !strings.Contains(text, " Cm "+w+" ") && !strings.Contains(text, " , "+w+" ") && !strings.Contains(text, " Cm "+w+",") {
			t.Errorf("no word %q", word)
		}
	}
}
