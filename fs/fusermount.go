// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Fusermount returns the path of the program that mounts and unmounts for
// ordinary users.
func Fusermount() (path string, err error) {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "fusermount", "/bin/fusermount"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("fusermount3: %w", exec.ErrNotFound)
}

// fusermountDevice has fusermount3 mount on a directory. It returns what mountDevice
// returns, which comes through a socket (fuse_kern_mount of libfuse's lib/mount.c).
func fusermountDevice(dir string, o Options) (device *os.File, err error) {
	path, err := Fusermount()
	if err != nil {
		return nil, err
	}
	ours, fd, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer unix.Close(ours)
	theirs := os.NewFile(uintptr(fd), "socket")
	words := []string{"fsname=" + escapeWord.Replace(o.Source), "subtype=" + strings.TrimPrefix(Type, "fuse.")}
	for _, f := range mountFlags(o) {
		words = append(words, f.word)
	}
	cmd := exec.Command(path, "-o", strings.Join(append(words, fuseWords(o)...), ","), "--", dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr // it says what is wrong
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = []string{"_FUSE_COMMFD=3"}
	err = cmd.Run()
	theirs.Close()
	if err != nil {
		return nil, fmt.Errorf("fusermount3 failed with %w", err)
	}
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(ours, make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("receiving from fusermount3: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("fusermount3 has passed nothing: %v", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("fusermount3 has passed no descriptor")
	}
	return os.NewFile(uintptr(fds[0]), "/dev/fuse"), nil
}

// escapeWord escapes what would end a value for fusermount3.
var escapeWord = strings.NewReplacer(`\`, `\\`, `,`, `\,`)
