// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"os/exec"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestCompletion has real shells complete command lines.
func TestCompletion(t *testing.T) {
	need.Long(t)
	need.Command(t, "bash", "zsh", "fish")
	needTerminal(t)
	eachIn(t, "completion.sh", func(t *testing.T, script []string) {
		cmd := exec.Command("./"+script[0], script[1])
		cmd.Env = append(os.Environ(), "EXE="+kheadersfs(t), "DIR="+t.TempDir())
		check(t, output(cmd))
	})
	fails(t, 2, []string{"SHELL csh: none of bash, zsh, fish", "hint: kheadersfs help completion"}, "completion", "csh")
}
