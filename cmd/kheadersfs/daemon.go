// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"log/syslog"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/fs"
)

// A Go process can't fork; the background is another process of the same
// program. The first one starts it at once and waits. The second one has the
// same arguments, working directory and terminal, so that paths mean the same
// and errors are seen, and a pipe besides. When the mount answers it leaves the
// directory and the terminal and writes a byte to the pipe, and the first one
// exits. It leaves the session no sooner either: while an autofs below waits for
// the mount, only its own process group gets past it (systemd starts mount(8) in
// that group for this reason).

// background starts the second process, and returns when the mount answers. An
// error has been reported by the second process, and its exit status is ours.
func background(args []string, mountpoint string) error {
	exe, err := executable()
	if err != nil {
		return err
	}
	ready, readyW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()

	// Nothing that we were started with lives on in the background, but for
	// the standard streams until the mount answers, and a mount handed over.
	closeOnExec()
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	if fs.IsHandedOver(mountpoint) {
		fd, err := strconv.Atoi(strings.TrimPrefix(mountpoint, "/dev/fd/"))
		if err != nil || fd < 3 || fd > 1024 {
			return usageErrorf("%q is not a mount that was handed over", mountpoint)
		}
		for len(files) < fd {
			files = append(files, nil)
		}
		files = append(files, os.NewFile(uintptr(fd), mountpoint))
	}
	readyFD := len(files)
	files = append(files, readyW)

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	child, err := os.StartProcess(exe,
		append([]string{"kheadersfs", "--ready-fd=" + strconv.Itoa(readyFD)}, args...),
		&os.ProcAttr{Files: files})
	if err != nil {
		return withHint(fmt.Errorf("starting the background process: %w", err), "kheadersfs --foreground does without")
	}
	readyW.Close()
	go func() {
		for s := range signals {
			child.Signal(s)
		}
	}()
	if n, _ := ready.Read(make([]byte, 1)); n == 1 {
		return nil
	}
	state, err := child.Wait()
	switch {
	case err != nil:
		return err
	case state.Exited() && state.ExitCode() == 2:
		return exitStatus(2)
	case state.Exited() && state.ExitCode() != 0:
		return exitStatus(1)
	}
	return fmt.Errorf("the background process ended: %v", state)
}

// closeOnExec has all descriptors but the standard streams closed at exec.
func closeOnExec() {
	if unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	// A kernel before 5.11, or a container that knows no such call.
	limit := unix.Rlimit{Cur: 1024}
	unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	for fd := range int(min(limit.Cur, 1<<16)) {
		if fd >= 3 {
			unix.CloseOnExec(fd)
		}
	}
}

// executable returns the path that this program was started by, as the kernel
// tells it to each process (AT_EXECFN, getauxval(3)). os.Executable needs /proc.
func executable() (string, error) {
	const atExecFn = 31
	auxv, err := unix.Auxv()
	if err != nil {
		return "", fmt.Errorf("finding the program: %w", err)
	}
	for _, entry := range auxv {
		if entry[0] == atExecFn {
			// The string lies on the stack that the kernel made, for ever.
			p := *(**byte)(unsafe.Pointer(&entry[1]))
			return unix.BytePtrToString(p), nil
		}
	}
	return "", errors.New("finding the program: the kernel doesn't tell its path")
}

// enterBackground is called in the second process when the mount answers.
func enterBackground(readyFD int, logger *log.Logger) error {
	logger.SetOutput(systemLog())
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if _, err := unix.Setsid(); err != nil {
		return fmt.Errorf("setsid: %w", err)
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("closing the terminal: %w", err)
		}
	}
	// When the first process is gone, nobody knows that there is a mount now;
	// then this fails, and there isn't.
	ready := os.NewFile(uintptr(readyFD), "ready")
	_, err = ready.Write([]byte{0})
	return errors.Join(err, ready.Close())
}

// systemLog returns the way to syslog, if there is one.
func systemLog() io.Writer {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_NOTICE, "kheadersfs")
	if err != nil {
		return io.Discard
	}
	return w
}
