// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		options string
		want    mountConfig
		err     string
	}{
		{"", mountConfig{}, ""},
		{"rw,dev,suid", mountConfig{}, ""}, // what mount(8) passes when there are none
		{"ro,noatime,relatime,sync,exec,_netdev,nofail,noauto,user,defaults", mountConfig{}, ""},
		{"x-systemd.automount,X-mount.mkdir=755,comment=a b,user=me,uhelper=x", mountConfig{}, ""},
		{"release=6.1.0,strict", mountConfig{release: "6.1.0", strict: true}, ""},
		{"foreground,verbose,debug", mountConfig{foreground: true, verbose: true, debug: true}, ""},
		{"cache-dir=/a/b,no-cache", mountConfig{cacheDir: "/a/b", noCache: true}, ""},
		{"noexec,nosymfollow,allow_other,default_permissions", mountConfig{noExec: true, noSymfollow: true, allowOther: true}, ""},
		{`context="system_u:object_r:usr_t:s0:c1,c2",ro`, mountConfig{data: []string{`context="system_u:object_r:usr_t:s0:c1,c2"`}}, ""},
		{`release=a\,b`, mountConfig{release: "a,b"}, ""},
		{"release=", mountConfig{}, `option "release=" names no release`},
		{"cache-dir=", mountConfig{}, `option "cache-dir=" names no directory`},
		{"no-cache=1", mountConfig{}, `unknown option "no-cache=1"`},
		{"release", mountConfig{}, `unknown option "release"`},
		{"strict=1", mountConfig{}, `unknown option "strict=1"`},
		{"ro,nonsense", mountConfig{}, `unknown option "nonsense"`},
		{"uid=0", mountConfig{}, `unknown option "uid=0"`},
		{"remount,rw", mountConfig{}, `option "remount" is not supported: nothing about a mount can change`},
	} {
		c := mountConfig{options: []string{test.options}}
		err := c.applyOptions()
		if test.err != "" {
			var usage usageError
			if err == nil || err.Error() != test.err || !errors.As(err, &usage) {
				t.Errorf("%q: %v instead of %s", test.options, err, test.err)
			}
			continue
		}
		test.want.options = c.options
		if err != nil || !reflect.DeepEqual(c, test.want) {
			t.Errorf("%q: %+v, %v instead of %+v", test.options, c, err, test.want)
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
		c := mountConfig{options: []string{list}}
		if err := c.applyOptions(); err != nil && !strings.Contains(err.Error(), "option") {
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
