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
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/fs"
)

// A Go process cannot fork, so the background is a second process of the same
// program. The first process starts it at once and waits. The second one has the
// same arguments, working directory and terminal, so that paths mean the same and
// the user sees its errors, and a pipe besides. When the mount answers, the second
// process leaves the directory and the terminal and writes a byte to the pipe, and
// the first one exits. It does not leave the session earlier: while an autofs below
// waits for the mount, only the automounter's process group gets past it, in which
// systemd starts mount(8).

// firstMount is the memory that a first mount takes at its peak: what VmHWM of
// proc(5) shows for a kernel's own archive.
const firstMount = "45 MB"

// background starts the second process, and returns when the mount answers. The
// second process reports its own errors, and its exit status is returned.
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

	// The background keeps nothing open that this process was started with, but
	// for the standard streams until the mount answers, and a mount handed over.
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
	case state.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return withHint(errors.New("the background process was killed: memory probably ran out"),
			"the first mount of a kernel's archive takes about "+firstMount+" of memory")
	}
	return fmt.Errorf("the background process ended: %v", state)
}

// closeOnExec makes exec close all descriptors but the standard streams.
func closeOnExec() {
	if unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	// A kernel before 5.11, or a container that does not allow this call.
	limit := unix.Rlimit{Cur: 1024}
	unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	for fd := range int(min(limit.Cur, 1<<16)) {
		if fd >= 3 {
			unix.CloseOnExec(fd)
		}
	}
}

// executable returns the path by which this program was started, which the kernel
// passes to each process (AT_EXECFN, getauxval(3)). os.Executable needs /proc.
func executable() (string, error) {
	const atExecFn = 31
	auxv, err := unix.Auxv()
	if err != nil {
		return "", fmt.Errorf("finding the program: %w", err)
	}
	for _, entry := range auxv {
		if entry[0] == atExecFn {
			// The string stays on the stack that the kernel made.
			p := *(**byte)(unsafe.Pointer(&entry[1]))
			return unix.BytePtrToString(p), nil
		}
	}
	return "", errors.New("finding the program: no AT_EXECFN in the auxiliary vector")
}

// programIn is executable as an absolute path, for a program that was started in a directory.
func programIn(directory string) (string, error) {
	path, err := executable()
	if err == nil && !filepath.IsAbs(path) {
		path = filepath.Join(directory, path)
	}
	return path, err
}

// startProgram starts a program, that of this process if the path leads to none: it is gone,
// or can't be seen from here.
func startProgram(path string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	process, err := os.StartProcess(path, argv, attr)
	if err != nil {
		process, err = os.StartProcess("/proc/self/exe", argv, attr)
	}
	return process, err
}

// enterBackground makes the second process a background process when the mount
// answers.
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
	// This fails if the first process has ended: then the caller does not know
	// of the mount, and it must go.
	ready := os.NewFile(uintptr(readyFD), "ready")
	_, err = ready.Write([]byte{0})
	return errors.Join(err, ready.Close())
}

// systemLog returns a writer to syslog, or to nowhere if there is no syslog.
func systemLog() io.Writer {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_NOTICE, "kheadersfs")
	if err != nil {
		return io.Discard
	}
	return w
}
