// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/fs"
)

// A mount outlives its server when somebody else keeps its device open: systemd (see
// notify.go), a process of our own (holder.go), or the server itself, which starts its
// program again for another version (replace.go). A state is what the next server needs
// besides the device. It lies in memory that has a descriptor (memfd_create(2)), and so
// lives as long as the device.
type state struct {
	file *os.File

	Program    string   // the path of the program
	Directory  string   // in which it was started
	Args       []string // of the command mount
	Dir        string   // the mount point
	Connection *fs.Connection

	Servers  int    // how many there have been
	Early    int    // how many have ended before one has served for half a second
	Refusals int    // how often a server has not been replaced, and
	Refused  string // why the last time
	Systemd  bool   // keeps the device
}

// stateName is the name of the memory of a state, as /proc/PID/fd shows it.
const stateName = "kheadersfs-state"

// newState returns the state of a mount that this process has made, started in a directory
// with these arguments.
func newState(directory string, args []string, dir string, conn *fs.Connection) (*state, error) {
	program, err := programIn(directory)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate(stateName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return &state{
		file:       os.NewFile(uintptr(fd), stateName),
		Program:    program,
		Directory:  directory,
		Args:       args,
		Dir:        dir,
		Connection: conn,
	}, nil
}

// readState reads a state from its descriptor.
func readState(f *os.File) (*state, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, st.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, err
	}
	s := &state{file: f}
	if err := json.Unmarshal(b, s); err != nil || s.Connection == nil || len(s.Connection.Init) < fs.MinInit {
		return nil, fmt.Errorf("not the state of a mount: %v", err)
	}
	return s, nil
}

// write is called by the server only. A reader at the same moment fails, and tries again.
func (s *state) write() error {
	b, err := json.Marshal(s)
	if err == nil {
		err = s.file.Truncate(0)
	}
	if err == nil {
		_, err = s.file.WriteAt(b, 0)
	}
	return err
}

// argv returns the arguments of the next server, which is given these descriptors; -1 for
// one that it isn't given.
func (s *state) argv(device, stateFD, life int, flags ...string) []string {
	resume := fmt.Sprintf("--resume=%d,%d,%d", device, stateFD, life)
	return slices.Concat([]string{"kheadersfs", resume}, flags, s.Args)
}

// givenArgs returns the arguments without the one that background, or argv, has put in front.
func givenArgs(args []string) []string {
	if len(args) > 0 && (strings.HasPrefix(args[0], "--ready-fd=") || strings.HasPrefix(args[0], "--resume=")) {
		return args[1:]
	}
	return args
}

// exec makes this process the next server.
func (s *state) exec(device *os.File, life int) error {
	os.Chdir(s.Directory)
	for _, fd := range []int{int(device.Fd()), int(s.file.Fd()), life} {
		unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	argv := s.argv(int(device.Fd()), int(s.file.Fd()), life)
	err := unix.Exec(s.Program, argv, os.Environ())
	if err != nil { // it is gone, or can't be seen from here
		err = unix.Exec("/proc/self/exe", argv, os.Environ())
	}
	return fmt.Errorf("starting %s: %w", s.Program, err)
}

// abandon detaches the mount, if it is still what is seen there.
func (s *state) abandon() error {
	m, err := topmost(s.Dir)
	if err == nil && m.dev == s.Connection.Dev {
		err = fs.Detach(s.Dir)
	}
	return err
}

// A resumption is what the flag --resume says: a mount that is to be served on.
type resumption struct {
	*state
	life int // see holder
}

func (r *resumption) String() string { return "" }
func (r *resumption) Type() string   { return "FDS" }

// Set takes the numbers of the descriptors of the device, the state, and a holder; -1 for
// one that isn't there.
func (r *resumption) Set(value string) error {
	fds := make([]int, 3)
	for i, s := range strings.SplitN(value, ",", len(fds)) {
		n, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		if fds[i] = n; n >= 0 {
			unix.CloseOnExec(n)
		}
	}
	r.life = fds[2]
	return r.take(os.NewFile(uintptr(fds[0]), "/dev/fuse"), os.NewFile(uintptr(fds[1]), stateName))
}

func (r *resumption) take(device, stateFile *os.File) error {
	s, err := readState(stateFile)
	if err != nil {
		return err
	}
	s.Connection.Device = device
	r.state = s
	return nil
}

// dir returns the mount point if there is a mount to be served on, and else an empty
// string. It asks nothing of that mount, which would not answer. One on another directory
// than what c says is given up.
func (r *resumption) dir(c *mountConfig) (string, error) {
	if r.state == nil {
		return "", nil
	}
	dir, err := realPath(c.mountpoint)
	if err == nil && dir == r.Dir {
		return dir, nil
	}
	return "", r.giveUp()
}

// giveUp detaches the mount that was to be served on. Those who wait for an answer get an
// error when nobody has its device: neither this process nor the holder.
func (r *resumption) giveUp() error {
	err := r.abandon()
	r.Connection.Device.Close()
	r.file.Close()
	holder{r.life}.dismiss()
	r.state = nil
	return err
}

// isUnmounted reports whether the connection of a device has ended.
func isUnmounted(device *os.File) bool {
	poll := []unix.PollFd{{Fd: int32(device.Fd())}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n == 1 && poll[0].Revents&unix.POLLERR != 0
}
