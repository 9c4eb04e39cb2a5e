// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// limit is how long a single measurement may take. A subject that takes longer is not
// measured again.
const limit = 20 * time.Second

var errTooLong = fmt.Errorf("> %.0f s", limit.Seconds())

// timed runs a command within the limit, in the directory dir, and returns how
// long it took from its start to its end. What it prints goes to a file and not
// through a pipe: a server that it leaves behind would keep a pipe open.
func (b *bench) timed(dir string, args ...string) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(b.ctx, limit, errTooLong)
	defer cancel()
	return b.execute(ctx, dir, args)
}

// run is for preparations, which may take longer.
func (b *bench) run(args ...string) error {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Minute)
	defer cancel()
	_, err := b.execute(ctx, "", args)
	return err
}

func (b *bench) execute(ctx context.Context, dir string, args []string) (time.Duration, error) {
	out, err := os.CreateTemp(b.mem, "out-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	// A group of its own: what it has started ends with it, and the
	// terminal's ^C reaches us alone, who then clean up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	start := time.Now()
	err = cmd.Run()
	took := time.Since(start)
	switch {
	case ctx.Err() != nil:
		return took, context.Cause(ctx)
	case err == nil:
		return took, nil
	}
	text, _ := os.ReadFile(out.Name())
	return took, fmt.Errorf("%s: %w: %s", args[0], err, bytes.Join(bytes.Fields(text), []byte(" ")))
}

// atOnce does n things at the same time and returns when all are done, with the
// first error.
func atOnce(n int, do func(i int) error) (time.Duration, error) {
	errs := make(chan error, n)
	start := time.Now()
	for i := range n {
		go func() { errs <- do(i) }()
	}
	var all error
	for range n {
		if err := <-errs; all == nil {
			all = err
		}
	}
	return time.Since(start), all
}

// poll calls a function until it returns true, for at most limit.
func (b *bench) poll(every time.Duration, answer func() bool) error {
	for start := time.Now(); !answer(); time.Sleep(every) {
		switch {
		case b.ctx.Err() != nil:
			return b.ctx.Err()
		case time.Since(start) > limit:
			return errTooLong
		}
	}
	return nil
}

func isInstalled(command string) error {
	_, err := exec.LookPath(command)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed; tests/deps.sh bench installs what this Debian has", command)
	}
	return err
}
