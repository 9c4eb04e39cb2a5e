// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// A service of systemd is told when the mount answers (sd_notify(3)), and keeps the device
// and the state for the next process of the service (FDSTORE=1, and FileDescriptorStoreMax=
// of systemd.service(5)).

// deviceName is the name of the device among the descriptors that systemd keeps; the state
// has stateName.
const deviceName = "kheadersfs-device"

// isService reports whether this process is one of which systemd wants to be told.
func (c *mountConfig) isService() bool {
	return c.foreground && os.Getenv("NOTIFY_SOCKET") != ""
}

// notify tells systemd something, if it wants to know.
func notify(message string) { daemon.SdNotify(false, message) }

// monotonic is what belongs to RELOADING=1.
func monotonic() string {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return fmt.Sprintf("MONOTONIC_USEC=%d", time.Duration(t.Nano()).Microseconds())
}

// keepBySystemd has systemd keep the device and the state.
func keepBySystemd(s *state) error {
	for _, d := range []struct {
		name string
		fd   int
	}{{deviceName, int(s.Connection.Device.Fd())}, {stateName, int(s.file.Fd())}} {
		notify("FDSTOREREMOVE=1\nFDNAME=" + d.name)
		if err := notifyWith(d.fd, "FDSTORE=1\nFDNAME="+d.name); err != nil {
			return fmt.Errorf("passing descriptors to systemd: %w", err)
		}
	}
	return nil
}

// notifyWith passes a descriptor along, for which go-systemd has no function.
func notifyWith(fd int, message string) error {
	addr := &net.UnixAddr{Name: os.Getenv("NOTIFY_SOCKET"), Net: "unixgram"}
	conn, err := net.DialUnix(addr.Net, nil, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	// WriteMsgUnix wants an address of a connected socket.
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	sendErr := raw.Write(func(s uintptr) bool {
		err = unix.Sendmsg(int(s), []byte(message), unix.UnixRights(fd), nil, 0)
		return err != unix.EAGAIN
	})
	if sendErr != nil {
		return sendErr
	}
	return err
}

// takeFromSystemd takes what systemd has kept (sd_listen_fds(3)). The last descriptor of a
// name counts. go-systemd's package for it brings TLS along, a megabyte of program.
func (r *resumption) takeFromSystemd() error {
	r.life = -1
	if pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID")); pid != os.Getpid() {
		return nil
	}
	kept := map[string]*os.File{}
	for i, name := range strings.Split(os.Getenv("LISTEN_FDNAMES"), ":") {
		const first = 3
		unix.CloseOnExec(first + i)
		if name == deviceName || name == stateName {
			kept[name] = os.NewFile(uintptr(first+i), name)
		}
	}
	device, stateFile := kept[deviceName], kept[stateName]
	if device == nil || stateFile == nil || isUnmounted(device) {
		return nil
	}
	return r.take(device, stateFile)
}
