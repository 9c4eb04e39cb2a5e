// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// The first thing that README shows compiles a program when it is pasted, also into
// the smallest shell.
func TestReadmeCompiles(t *testing.T) {
	need.Command(t, "clang", "sh")
	mnt := mount(t, stockArchive(t))
	_, script, _ := strings.Cut(string(content(t, "../README.md")), "```sh\n")
	script, _, _ = strings.Cut(script, "```")
	script = regexp.MustCompile("(?m)^sudo .*$").ReplaceAllString(script, "")
	script = strings.ReplaceAll(script, "kheadersfs cflags", kheadersfs(t)+" cflags "+mnt)
	dir := t.TempDir()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	if st, err := os.Stat(filepath.Join(dir, "prog.o")); err != nil || st.Size() == 0 {
		t.Errorf("no object: %v\n%s", err, script)
	}
}

// What README shows for systemd is done in the virtual machine.
func TestReadmeService(t *testing.T) {
	guest := string(content(t, "systemd-guest.sh"))
	lines := regexp.MustCompile(`(?m)^(?:sudo )?(systemctl .*?) *(?:#.*)?$`).FindAllStringSubmatch(string(content(t, "../README.md")), -1)
	if len(lines) != 3 {
		t.Errorf("%d lines for systemd", len(lines))
	}
	for _, line := range lines {
		if !strings.Contains(guest, line[1]) {
			t.Errorf("%s is not run", line[1])
		}
	}
}

// README names each command, and docs/interface.md each key of info --json.
func TestReadmeIsComplete(t *testing.T) {
	readme, manual := string(content(t, "../README.md")), string(content(t, "../docs/interface.md"))
	help, _, _ := run(t, "--help")
	commands := regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(help, -1)
	if len(commands) < 8 {
		t.Errorf("%d commands in --help:\n%s", len(commands), help)
	}
	for _, c := range commands {
		if !regexp.MustCompile(`(?m)^kheadersfs \[?` + c[1] + `\b`).MatchString(readme) {
			t.Errorf("README does not show the command %s", c[1])
		}
	}
	info, _, _ := run(t, "info", "--json", smallArchive(t))
	keys := regexp.MustCompile(`(?m)^  "([a-z]+)":`).FindAllStringSubmatch(info, -1)
	if len(keys) < 12 {
		t.Errorf("%d keys:\n%s", len(keys), info)
	}
	for _, k := range keys {
		if !strings.Contains(manual, "| `"+k[1]+"` |") {
			t.Errorf("docs/interface.md does not have the key %s", k[1])
		}
	}
}
