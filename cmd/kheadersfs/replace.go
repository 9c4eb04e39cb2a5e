// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/fs"
)

// replaceSignal asks a server to start its program again.
const replaceSignal = unix.SIGUSR2

// replaceServer has the server of a mount start its program again, and returns when that
// serves the mount.
func replaceServer(mountpoint string) error {
	dir, err := realPath(mountpoint)
	if err != nil {
		return fmt.Errorf("mount point %s: %w", mountpoint, bare(err))
	}
	pid, s, err := findServer(dir)
	if err != nil {
		return err
	}
	if err := unix.Kill(pid, replaceSignal); err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		now, err := readState(s.file)
		switch {
		case err != nil: // it is being written
		case now.Servers != s.Servers:
			return nil
		case now.Refusals != s.Refusals:
			return fmt.Errorf("%s: the server stays as it is: %s", dir, now.Refused)
		}
	}
	return withHint(fmt.Errorf("%s: the server, process %d, does not answer", dir, pid),
		fmt.Sprintf("kill -9 %d: another one takes its place", pid))
}

// findServer returns the process that serves the topmost mount on a directory.
func findServer(dir string) (pid int, s *state, err error) {
	m, err := topmost(dir)
	if err != nil {
		return 0, nil, err
	}
	if m.typ != fs.Type {
		return 0, nil, fmt.Errorf("%s: no mount of kheadersfs is on it", dir)
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, file := range files {
		if to, err := os.Readlink(file); err != nil || to != "/memfd:"+stateName+" (deleted)" {
			continue
		}
		process := filepath.Dir(filepath.Dir(file))
		line, err := os.ReadFile(process + "/cmdline")
		if err != nil || bytes.HasPrefix(line, []byte("kheadersfs\x00--hold\x00")) || !isOwn(process) {
			continue
		}
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if s, err := readState(f); err == nil && s.Connection.Dev == m.dev {
			pid, err := strconv.Atoi(filepath.Base(process))
			return pid, s, err
		}
		f.Close()
	}
	return 0, nil, withHint(fmt.Errorf("%s: no process of yours serves this mount in a way that can be replaced", dir),
		"umount it and mount it again")
}

// isOwn reports whether a process, as a directory in /proc, is of the same user.
func isOwn(process string) bool {
	var st unix.Stat_t
	return unix.Stat(process, &st) == nil && int(st.Uid) == os.Geteuid()
}

// replace starts the program again in the place of this process, after another process of
// it has done everything but that. If it returns without an error, this process still
// serves the mount, and the state says why.
func (m *mounted) replace(logger *log.Logger) error {
	if err := m.rehearse(); err != nil {
		logger.Printf("not replaced: %v", err)
		m.state.Refused = err.Error()
		m.state.Refusals++
		return m.state.write()
	}
	notify(daemon.SdNotifyReloading + "\n" + monotonic())
	if err := m.Retire(); err != nil {
		return err
	}
	if err := m.state.write(); err != nil {
		return err
	}
	return m.state.exec(m.state.Connection.Device, m.holder.life)
}

// rehearse runs the next server without the device: it does everything but serve.
func (m *mounted) rehearse() error {
	var out bytes.Buffer
	cmd := exec.Cmd{
		Path:       m.state.Program,
		Args:       m.state.argv(-1, 3, -1, "--fake", "--foreground"),
		Dir:        m.state.Directory,
		Stderr:     &out,
		ExtraFiles: []*os.File{m.state.file},
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Path, err, strings.TrimSpace(out.String()))
	}
	return nil
}
