// SPDX-License-Identifier: Apache-2.0

// Command empty mounts a go-fuse filesystem with nothing behind it, the way
// kheadersfs mounts: what is left of a mount's time when there is no archive.
// Each name that is looked up in it is a directory, so that a path is answered
// by as many requests as in a tree.
package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func main() {
	var err error
	if len(os.Args) == 3 && os.Args[1] == "background" {
		err = serve(os.Args[2])
	} else if len(os.Args) == 2 {
		err = background(os.Args[1])
	} else {
		err = fmt.Errorf("usage: empty DIR")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "empty:", err)
		os.Exit(1)
	}
}

// background starts this program once more and returns when the mount answers,
// as cmd/kheadersfs/daemon.go does.
func background(dir string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	ready, readyW, err := os.Pipe()
	if err != nil {
		return err
	}
	child, err := os.StartProcess(exe, []string{"empty", "background", dir},
		&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, readyW}})
	if err != nil {
		return err
	}
	readyW.Close()
	if n, _ := ready.Read(make([]byte, 1)); n == 1 {
		return nil
	}
	state, err := child.Wait()
	if err != nil {
		return err
	}
	return fmt.Errorf("the background process ended: %v", state)
}

// serve mounts with the options of fs.Mount, and returns when it is unmounted.
func serve(dir string) error {
	server, err := fuse.NewServer(empty{fuse.NewDefaultRawFileSystem()}, dir, &fuse.MountOptions{
		Name: "empty", FsName: "empty", AllowOther: true, Options: []string{"default_permissions"},
		EnableSymlinkCaching: true, ExplicitDataCacheControl: true,
		ExtraCapabilities:    1 << 24, // FUSE_NO_OPENDIR_SUPPORT
		DisabledCapabilities: fuse.CAP_PASSTHROUGH,
		DirectMountStrict:    true, DirectMountFlags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV,
	})
	if err != nil {
		return err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return err
	}
	if err := detach(); err != nil {
		server.Unmount()
		return err
	}
	server.Wait()
	return nil
}

// detach leaves the directory, the session and the terminal, and says that the
// mount is ready.
func detach() error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if _, err := unix.Setsid(); err != nil {
		return err
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return err
		}
	}
	ready := os.NewFile(3, "ready")
	defer ready.Close()
	_, err = ready.Write([]byte{0})
	return err
}

type empty struct{ fuse.RawFileSystem }

func (empty) GetAttr(_ <-chan struct{}, _ *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.Attr = fuse.Attr{Ino: 1, Mode: syscall.S_IFDIR | 0o755, Nlink: 2}
	return fuse.OK
}

func (empty) Lookup(_ <-chan struct{}, h *fuse.InHeader, _ string, out *fuse.EntryOut) fuse.Status {
	out.NodeId = h.NodeId + 1
	out.Attr = fuse.Attr{Ino: out.NodeId, Mode: syscall.S_IFDIR | 0o755, Nlink: 2}
	return fuse.OK
}
