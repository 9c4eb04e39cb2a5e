// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestVersion compares the version of the program with that of DKMS, which
// only reads a literal, and with the versions that README names.
func TestVersion(t *testing.T) {
	need.Command(t, "make")
	version := strings.TrimSpace(string(content(t, "../VERSION")))
	if !regexp.MustCompile(`^\d+(\.\d+)+$`).MatchString(version) {
		t.Errorf("VERSION: %q", version)
	}
	commands, err := exec.Command("make", "-n", "-C", "..", "bin/kheadersfs").Output()
	check(t, err)
	for _, use := range []struct{ where, text, pattern string }{
		{"make", string(commands), `-X main\.version=(\S*) `},
		{"dkms.conf", string(content(t, "../kmod/dkms.conf")), `(?m)^PACKAGE_VERSION="(.*)"$`},
	} {
		if m := regexp.MustCompile(use.pattern).FindStringSubmatch(use.text); m == nil || m[1] != version {
			t.Errorf("%s: %q, VERSION says %s", use.where, m, version)
		}
	}
	for _, m := range regexp.MustCompile(`kheadersfs[/-](\d[\d.]*\d)`).FindAllStringSubmatch(string(content(t, "../README.md")), -1) {
		if m[1] != version {
			t.Errorf("README: %s, VERSION says %s", m[0], version)
		}
	}
}
