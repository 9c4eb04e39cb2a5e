// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// mount(8) has filesystems of a type mounted by the program /sbin/mount.TYPE, which it
// calls as
//
//	mount.TYPE SOURCE TARGET [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE.SUBTYPE]
//
// (mount(8), "External helpers"). Links to this program are such helpers.

// helperNames are the names of the links.
var helperNames = []string{"mount.kheadersfs", "mount.fuse.kheadersfs"}

func isHelper(argv0 string) bool { return slices.Contains(helperNames, filepath.Base(argv0)) }

// Exit statuses of mount(8).
const (
	helperUsage  = 1
	helperFailed = 32
)

// runHelper mounts for mount(8), and returns the exit status that it expects.
func runHelper(argv []string, stdout, stderr io.Writer) int {
	switch report(helper(argv, stdout, stderr), stderr) {
	case 0:
		return 0
	case 2:
		return helperUsage
	}
	return helperFailed
}

func helper(argv []string, stdout, stderr io.Writer) error {
	flags := pflag.NewFlagSet(filepath.Base(argv[0]), pflag.ContinueOnError)
	flags.Usage = func() {}
	var (
		sloppy    = flags.BoolP("sloppy", "s", false, "")
		fake      = flags.BoolP("fake", "f", false, "")
		verbose   = flags.BoolP("verbose", "v", false, "")
		namespace = flags.StringP("namespace", "N", "", "")
		options   = flags.StringArrayP("options", "o", nil, "")
	)
	flags.BoolP("no-mtab", "n", false, "") // there is no mtab any more
	flags.StringP("types", "t", "", "")    // with its subtype, which changes nothing
	if err := flags.Parse(argv[1:]); err != nil {
		return helperHint(flagError(flags, err))
	}
	if flags.NArg() != 2 {
		return helperHint(usageErrorf("%q is not SOURCE and TARGET", flags.Args()))
	}
	if *namespace != "" {
		return inMountNamespace(*namespace, append(slices.Clip(argv), "--namespace=")) // the last one counts
	}
	args := []string{"--options", strings.Join(*options, ",")}
	if *sloppy {
		args[1] = knownWords(args[1])
	}
	if *verbose {
		args = append(args, "--verbose")
	}
	if *fake {
		args = append(args, "--fake")
	}
	return commandNamed("mount").run(append(args, "--", backingFile(flags.Arg(0)), flags.Arg(1)), true, stdout, stderr)
}

// backingFile returns the file behind a loop device, which busybox has made of SOURCE. The
// device goes by itself.
func backingFile(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return path
	}
	rdev := uint64(st.Rdev)
	name, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/loop/backing_file", unix.Major(rdev), unix.Minor(rdev)))
	if err != nil {
		return path
	}
	return strings.TrimSuffix(string(name), "\n")
}

func helperHint(err error) error {
	return withHint(err, "mount -t kheadersfs SOURCE MOUNTPOINT, or without mount(8): kheadersfs SOURCE MOUNTPOINT")
}

// knownWords returns the words of a list that are taken or refused by name.
func knownWords(list string) string {
	var known []string
	for _, word := range splitOptions(list) {
		c := &mountConfig{}
		var unknown unknownOptionError
		if !errors.As(c.applyOption(c.words(), word), &unknown) {
			known = append(known, strings.ReplaceAll(word, ",", `\,`))
		}
	}
	return strings.Join(known, ",")
}

// inMountNamespace runs the helper once more, with the given argv, in another mount namespace,
// as mount --namespace wants it. A thread enters it, and only what that thread starts is
// in it.
func inMountNamespace(namespace string, argv []string) error {
	ns, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	exe, err := executable()
	if err != nil {
		return err
	}
	// There the program may have no path: it is run by a descriptor, which is out of
	// the way of those that a process is started with.
	const fd = 100
	self, err := unix.Open(exe, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Dup3(self, fd, 0)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: exe, Err: err}
	}
	runtime.LockOSThread() // and the thread ends with this process
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("mount namespace %s: %w", namespace, err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("mount namespace %s: %w", namespace, err)
	}
	child, err := os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", fd), argv,
		&os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return fmt.Errorf("mount namespace %s: %w", namespace, err)
	}
	state, err := child.Wait()
	switch {
	case err != nil:
		return err
	case state.ExitCode() == helperUsage:
		return exitStatus(2)
	case !state.Success():
		return exitStatus(1)
	}
	return nil
}
