// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// build builds a command, and returns its path.
func build(t *testing.T, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "command")
	if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// runner runs the command on the tests in testdata, and returns what it prints.
func runner(t *testing.T, env []string, flags ...string) (out string, status int) {
	t.Helper()
	cmd := exec.Command(build(t, "."), append(flags, "-count=1", "./testdata/left")...)
	cmd.Env = append(os.Environ(), env...)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	out = regexp.MustCompile(`\d+\.\d+s`).ReplaceAllString(string(b), "TIME")
	return out, cmd.ProcessState.ExitCode()
}

const list = `
1 tests were skipped:
needs a reason
	github.com/kheadersfs/kheadersfs/tests/run/testdata/left TestSkipped/part
`

// What was skipped is listed, and fails where CI is set.
func TestSkips(t *testing.T) {
	need.Long(t)
	const ok = "ok  \tgithub.com/kheadersfs/kheadersfs/tests/run/testdata/left\tTIME\n"
	for _, test := range []struct {
		ci, run, want string
		status        int
	}{
		{"", "", ok + list, 0},
		{"", "Passes", ok, 0},
		{"1", "Passes", ok, 0},
		{"1", "", ok + list + "tests/run: 1 tests were skipped, and CI is set\n", 1},
	} {
		if out, status := runner(t, []string{"CI=" + test.ci}, "-run="+test.run); out != test.want || status != test.status {
			t.Errorf("CI=%s, -run=%s: exit status %d, %s", test.ci, test.run, status, out)
		}
	}
}

// Failures are printed with what they say, and the exit status is that of go test.
func TestFailures(t *testing.T) {
	need.Long(t)
	want := regexp.MustCompile(`^ +left_test\.go:\d+: printed
 *--- FAIL: TestFails/part \(TIME\)
--- FAIL: TestFails \(TIME\)
FAIL
FAIL	github.com/kheadersfs/kheadersfs/tests/run/testdata/left	TIME
` + list + `$`)
	if out, status := runner(t, []string{"CI=1", "LEFT=1"}, "-run=Passes|Skipped|Fails"); !want.MatchString(out) || status != 1 {
		t.Errorf("exit status %d, %s", status, out)
	}
	if out, status := runner(t, []string{"GOFLAGS=-nonsense"}); status != 1 || !strings.Contains(out, "-nonsense") {
		t.Errorf("exit status %d, %s", status, out)
	}
}

// A test binary that is killed leaves no mount, no process and no file.
func TestKilledBinary(t *testing.T) {
	need.Long(t)
	need.That(t, os.Geteuid() == 0, "root")
	_, err := os.Stat("/dev/fuse")
	need.That(t, err == nil, "/dev/fuse: %v", err)
	need.Command(t, "setsid")
	archive, err := filepath.Abs("../../index/testdata/stock.tar.xz")
	if err != nil {
		t.Fatal(err)
	}
	out, status := runner(t, []string{"ARCHIVE=" + archive, "LEFT=" + build(t, "../../cmd/kheadersfs")}, "-run=Passes|Killed")
	left := regexp.MustCompile(`(?m)^left: (.*)$`).FindStringSubmatch(out)
	if status != 1 || left == nil || !strings.Contains(out, "signal: killed") {
		t.Fatalf("exit status %d, %s", status, out)
	}
	dir := left[1]
	if mounts, err := mountsBelow(dir); err != nil || len(mounts) > 0 {
		t.Errorf("mounted: %q, %v", mounts, err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("%s: %v", dir, err)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if cwd, _ := os.Readlink(link); strings.HasPrefix(cwd, dir) {
			t.Errorf("%s is %s", link, cwd)
		}
	}
}
