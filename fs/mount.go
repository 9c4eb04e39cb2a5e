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

// maxRead is the largest READ, in bytes.
const maxRead = 128 << 10

// Type is the type of our mounts in /proc/mounts.
const Type = "fuse.kheadersfs"

// Options say how to mount.
type Options struct {
	On          *os.File // the directory, if it was opened (O_PATH, open(2)); else its path is used
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
	push   *pusher
	tree   *index.Tree
	dir    string
	dev    uint64 // of the mount, as in stat(2)
	log    *log.Logger
	conn   *Connection // nil if nobody else can serve the mount
	fd     int         // from which go-fuse reads
}

// Mount mounts the tree on a directory and returns when the mount answers. The
// directory is an absolute path without symbolic links, or /dev/fd/N for a mount
// that was handed over (IsHandedOver).
//
// Root mounts by itself, any other user through fusermount3.
func Mount(t *index.Tree, dir string, o Options) (m *Mounted, err error) {
	s := newServer(t, o.Log)
	m = &Mounted{push: s.push, tree: t, dir: dir, log: o.Log}
	if !IsHandedOver(dir) {
		mount := mountDevice
		if os.Geteuid() != 0 {
			mount = fusermountDevice
		}
		m.conn = &Connection{}
		if m.conn.Device, err = mount(dir, o); err != nil {
			return nil, err
		}
		m.server, m.fd, err = m.conn.newFUSE(s, mountOptions(o))
		if err == nil {
			err = m.attach()
		}
		if err != nil {
			Detach(dir)
			return nil, err
		}
	} else if m.server, err = fuse.NewServer(s, dir, mountOptions(o)); err != nil {
		return nil, err
	}
	go m.server.Serve()
	if err := m.server.WaitMount(); err != nil {
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
	if m.conn != nil {
		m.conn.Dev = m.dev
	}
	return m, nil
}

// mountOptions returns the options for go-fuse, which does not mount itself.
func mountOptions(o Options) *fuse.MountOptions {
	return &fuse.MountOptions{
		MaxWrite: maxRead,
		Debug:    o.Debug,
		Logger:   o.Log,

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
}

// fuseWords returns the options of FUSE for the kernel, and for fusermount3.
func fuseWords(o Options) []string {
	words := []string{fmt.Sprintf("max_read=%d", maxRead), "default_permissions"}
	if o.AllowOther {
		words = append(words, "allow_other")
	}
	return append(words, o.Data...)
}

// A mountFlag is a flag of mount(2), and the word for it.
type mountFlag struct {
	flag uintptr
	word string
}

func mountFlags(o Options) []mountFlag {
	flags := []mountFlag{{unix.MS_RDONLY, "ro"}, {unix.MS_NOSUID, "nosuid"}, {unix.MS_NODEV, "nodev"}}
	if o.NoExec {
		flags = append(flags, mountFlag{unix.MS_NOEXEC, "noexec"})
	}
	if o.NoSymfollow {
		flags = append(flags, mountFlag{unix.MS_NOSYMFOLLOW, "nosymfollow"})
	}
	return flags
}

// mountDevice mounts on a directory as root. It returns /dev/fuse, by which
// the mount is served. The mount is on the opened directory, whatever its path has
// come to mean, as far as /proc tells the kernel which one that is.
func mountDevice(dir string, o Options) (device *os.File, err error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0) // os.OpenFile would wait by epoll(7)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	words := []string{
		fmt.Sprintf("fd=%d", fd), "rootmode=40000",
		fmt.Sprintf("user_id=%d", os.Geteuid()), fmt.Sprintf("group_id=%d", os.Getegid()),
	}
	var flags uintptr
	for _, f := range mountFlags(o) {
		flags |= f.flag
	}
	target := dir
	if o.On != nil {
		opened := fmt.Sprintf("/proc/self/fd/%d", o.On.Fd())
		if _, err := os.Lstat(opened); err == nil {
			target = opened
		}
	}
	err = unix.Mount(o.Source, target, Type, flags, strings.Join(append(words, fuseWords(o)...), ","))
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/fuse"), nil
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
