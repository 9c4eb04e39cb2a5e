// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
)

// Type is the type of our mounts in /proc/mounts.
const Type = "fuse.kheadersfs"

// Options say how to mount.
type Options struct {
	Source      string   // shown as the source of the mount
	NoExec      bool     // programs on it may not be executed
	NoSymfollow bool     // symbolic links are not followed
	AllowOther  bool     // users other than the one who mounts may read it
	Data        []string // more words for mount(2), as an SELinux context=
	Debug       bool     // log each request
	Log         *log.Logger
}

// A Mounted is a tree that is mounted, and served until it is unmounted.
type Mounted struct {
	server *fuse.Server
	dir    string
	dev    uint64 // of the mount, as in stat(2)
}

// Mount mounts the tree on a directory and returns when the mount answers. The
// directory is an absolute path without symbolic links, or /dev/fd/N for a mount
// that was handed over (IsHandedOver).
//
// Root mounts by itself, any other user through fusermount3.
func Mount(t *index.Tree, dir string, o Options) (*Mounted, error) {
	s := newServer(t, o.Log)
	server, err := fuse.NewServer(s, dir, mountOptions(dir, o))
	if err != nil {
		return nil, err
	}
	go server.Serve()
	m := &Mounted{server: server, dir: dir}
	if err := server.WaitMount(); err != nil {
		Detach(dir)
		return nil, err
	}
	if IsHandedOver(dir) {
		return m, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		Detach(dir)
		return nil, err
	}
	m.dev = uint64(st.Dev)
	s.prefetch.Store(newPrefetcher(t, dir, m.dev))
	go t.Hot() // which the first READ of a header needs
	return m, nil
}

func mountOptions(dir string, o Options) *fuse.MountOptions {
	mo := &fuse.MountOptions{
		Name:       strings.TrimPrefix(Type, "fuse."),
		FsName:     o.Source,
		AllowOther: o.AllowOther,
		Options:    append([]string{"default_permissions"}, o.Data...),
		Debug:      o.Debug,
		Logger:     o.Log,

		// The kernel need not look for changes: nothing changes.
		EnableSymlinkCaching:     true,
		ExplicitDataCacheControl: true,
		ExtraCapabilities:        capNoOpendirSupport,
		// Splicing is for data that lies in files: for each READ go-fuse would
		// fetch a pipe, write the header into it, and then find no file.
		DisableSplice: true,
		// Passthrough counts as a layer, and overlayfs accepts two layers at most.
		DisabledCapabilities: fuse.CAP_PASSTHROUGH,
	}
	flags := []struct {
		set  bool
		flag uintptr
		word string // for fusermount3
	}{
		{true, unix.MS_RDONLY, "ro"},
		{true, unix.MS_NOSUID, "nosuid"},
		{true, unix.MS_NODEV, "nodev"},
		{o.NoExec, unix.MS_NOEXEC, "noexec"},
		{o.NoSymfollow, unix.MS_NOSYMFOLLOW, "nosymfollow"},
	}
	mo.DirectMountStrict = os.Geteuid() == 0 && !IsHandedOver(dir)
	for _, f := range flags {
		switch {
		case !f.set:
		case mo.DirectMountStrict:
			mo.DirectMountFlags |= f.flag
		default:
			mo.Options = append(mo.Options, f.word)
		}
	}
	return mo
}

// IsHandedOver reports whether a mount point is of the form /dev/fd/N, by which
// mount.fuse3 with drop_privileges hands over what it has mounted.
func IsHandedOver(dir string) bool {
	return strings.HasPrefix(dir, "/dev/fd/")
}

// Wait returns when the tree is no longer mounted and its last open file is
// closed.
func (m *Mounted) Wait() { m.server.Wait() }

// Unmount detaches the mount. It fails if something else is mounted over it, which
// stays as it is, and for a mount that was handed over.
func (m *Mounted) Unmount() error {
	var st unix.Stat_t
	err := unix.Stat(m.dir, &st)
	switch {
	case err != nil:
	case uint64(st.Dev) != m.dev:
		err = errors.New("something else is mounted over it")
	default:
		err = Detach(m.dir)
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", m.dir, err)
	}
	return nil
}

// Detach unmounts the topmost mount of a directory: its files are gone from the
// tree at once, and those that are open stay until they are closed
// (MNT_DETACH, umount2(2)).
func Detach(dir string) error {
	if os.Geteuid() == 0 {
		return unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	path, err := Fusermount()
	if err != nil {
		return err
	}
	out, err := exec.Command(path, "-u", "-z", "--", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Fusermount returns the path of the program that mounts and unmounts for
// ordinary users, as go-fuse searches for it.
func Fusermount() (path string, err error) {
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "fusermount", "/bin/fusermount"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("fusermount3: %w", exec.ErrNotFound)
}
