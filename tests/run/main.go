// SPDX-License-Identifier: Apache-2.0

// Command run is "go test" as make test needs it. It lists at the end what was
// skipped and why, and leaves no mount, process or file of the tests behind, even
// when a test binary is killed or runs into its time limit.
//
// usage: go run ./tests/run [FLAG...] PACKAGE...
//
// Its exit status is that of go test. Where CI is set it is 1 too when a test was
// skipped that only needed something to be installed.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests/run:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func run(args []string) (status int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// What a test leaves running becomes a child of this process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 1, err
	}
	scratch, err := os.MkdirTemp("", "kheadersfs-run-")
	if err != nil {
		return 1, err
	}
	defer func() {
		if cleanErr := clean(scratch); err == nil {
			err = cleanErr
		}
	}()
	// Ordinary users, as whom some tests run the program, write there too.
	if err := os.Chmod(scratch, 0o777|os.ModeSticky); err != nil {
		return 1, err
	}

	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r := report{w: os.Stdout}
	readErr := r.read(events)
	waitErr := cmd.Wait()
	r.skipped()
	switch {
	case ctx.Err() != nil:
		return 1, context.Cause(ctx)
	case cmd.ProcessState.ExitCode() != 0:
		return cmd.ProcessState.ExitCode(), nil
	case readErr != nil:
		return 1, readErr
	case waitErr != nil:
		return 1, waitErr
	}
	if n := r.avoidable(); n > 0 && os.Getenv("CI") != "" {
		return 1, fmt.Errorf("%d tests were skipped, and CI is set", n)
	}
	return 0, nil
}
