// SPDX-License-Identifier: Apache-2.0

// Package left has tests that leave things behind, for the test of tests/run.
package left

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPasses(t *testing.T) { t.Log("not printed") }

func TestSkipped(t *testing.T) {
	t.Log("not the reason")
	t.Run("part", func(t *testing.T) { t.Skip("needs a reason\nof two lines") })
}

func TestFails(t *testing.T) {
	t.Run("part", func(t *testing.T) {
		if os.Getenv("LEFT") != "" {
			t.Error("printed")
		}
	})
}

// TestKilled mounts, starts processes, and kills itself.
func TestKilled(t *testing.T) {
	archive, program := os.Getenv("ARCHIVE"), os.Getenv("LEFT")
	if program == "" {
		return
	}
	dir := filepath.Join(os.TempDir(), "a directory")
	for _, err := range []error{
		os.Mkdir(dir, 0o755),
		os.Mkdir(filepath.Join(dir, "mnt"), 0o755),
		exec.Command(program, "--no-cache", archive, filepath.Join(dir, "mnt")).Run(),
		exec.Command("sh", "-c", `cd "$1" && env -i setsid sleep 1000000 &`, "sh", dir).Start(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("left:", os.TempDir())
	unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}
