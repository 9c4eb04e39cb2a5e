// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A holder is a process that keeps the device and the state of a mount, and does nothing
// but wait for the end of the server, which it sees at a pipe that the server holds open.
// If the mount is still there then, it starts the next server.
//
// It doesn't wait for the server's process: a thread of that which pushes a page may wait for
// an answer that only the next server gives.
type holder struct {
	life int // the server's end of the pipe; -1 if there is no holder
}

// maxEarly is how many servers in a row may end before they have served for half a second.
// Then the mount is detached: it seems that none can serve it.
const maxEarly = 10

// startHolder starts the holder of a mount that this process serves.
func startHolder(s *state) (holder, error) {
	life, lifeW, err := os.Pipe()
	if err != nil {
		return holder{-1}, err
	}
	defer life.Close()
	defer lifeW.Close()
	if err := s.start([]string{"kheadersfs", "--hold", s.Dir}, life); err != nil {
		return holder{-1}, err
	}
	keep, err := unix.FcntlInt(lifeW.Fd(), unix.F_DUPFD_CLOEXEC, 0) // no garbage is to be collected
	return holder{keep}, err
}

// start starts the program as a process with the descriptors 3 to 5: the device, the state,
// and an end of the pipe.
func (s *state) start(argv []string, life *os.File) error {
	attr := &os.ProcAttr{
		Dir:   s.Directory,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, s.Connection.Device, s.file, life},
	}
	if _, err := os.Stat(attr.Dir); err != nil {
		attr.Dir = "/"
	}
	process, err := startProgram(s.Program, argv, attr)
	if err != nil {
		return err
	}
	go process.Wait()
	return nil
}

// dismiss ends the holder before this process ends.
func (h holder) dismiss() {
	if h.life >= 0 {
		unix.Write(h.life, []byte{0})
	}
}

// hold is what a holder does.
func hold() error {
	device, stateFile, life := os.NewFile(3, "/dev/fuse"), os.NewFile(4, stateName), os.NewFile(5, "life")
	os.Chdir("/")
	for {
		if n, _ := life.Read(make([]byte, 1)); n == 1 || isUnmounted(device) {
			return nil
		}
		life.Close()
		s, err := readState(stateFile)
		if err != nil {
			return err
		}
		s.Connection.Device = device
		if s.Early++; s.Early > maxEarly {
			newLogger(systemLog()).Printf("%s: %d servers have ended early: unmounting", s.Dir, maxEarly)
			return s.abandon()
		}
		if err := s.write(); err != nil {
			return err
		}
		// The first one is replaced at once, the tenth after half a second.
		time.Sleep(time.Duration((s.Early-1)*(s.Early-1)) * 6 * time.Millisecond)
		var lifeW *os.File
		if life, lifeW, err = os.Pipe(); err != nil {
			return err
		}
		if err := s.start(s.argv(3, 4, 5), lifeW); err != nil {
			newLogger(systemLog()).Printf("%s: starting the next server: %v", s.Dir, err)
		}
		lifeW.Close()
	}
}
