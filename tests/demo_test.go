// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bufio"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestDemoInterrupted stops the demo while it packs, as ^C does, and when it has
// mounted, as kill(1) does: it leaves no file, no mount and no process.
func TestDemoInterrupted(t *testing.T) {
	needMounts(t)
	need.Command(t, "clang", "perl", "xz", "findmnt", "mountpoint", "pgrep")
	kernelHeaders(t)
	for _, test := range []struct {
		line   string // of the demo's output
		signal syscall.Signal
		group  bool // a terminal's signal goes to all processes
	}{
		{"A headers archive ", syscall.SIGINT, true},
		{"Compiled:", syscall.SIGTERM, false},
	} {
		t.Run(test.signal.String(), func(t *testing.T) {
			dir := worldReadable(t)
			cmd := exec.Command("./demo.sh", kheadersfs(t))
			cmd.Env = append(cmd.Environ(), "TMPDIR="+dir)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			check(t, err)
			check(t, cmd.Start())
			lines := bufio.NewScanner(stdout)
			for lines.Scan() && !strings.HasPrefix(lines.Text(), test.line) {
			}
			pid := cmd.Process.Pid
			if test.group {
				pid = -pid
			}
			check(t, syscall.Kill(pid, test.signal))
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "What it saves:") {
					t.Error("it goes on")
				}
			}
			if cmd.Wait() == nil {
				t.Error("exit status 0")
			}
			if left := namesIn(dir); len(left) != 0 || stderr.Len() != 0 {
				t.Errorf("left behind: %v; %s", left, &stderr)
			}
			if mounts := string(content(t, "/proc/self/mounts")); strings.Contains(mounts, dir) {
				t.Errorf("still mounted:\n%s", mounts)
			}
			if exec.Command("pgrep", "-f", dir).Run() == nil {
				t.Error("a process is left")
			}
		})
	}
}
