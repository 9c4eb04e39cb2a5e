// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"log"
	"os"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/index"
)

// Type is the type of our mounts in /proc/mounts.
const Type = "fuse.kheadersfs"

// capNoOpendirSupport is FUSE_NO_OPENDIR_SUPPORT of linux/fuse.h.
const capNoOpendirSupport = 1 << 24

// Options tell how to mount.
type Options struct {
	Source      string   // shown as the source of the mount
	NoExec      bool     // programs on it may not be executed
	NoSymfollow bool     // symbolic links are not followed
	AllowOther  bool     // users other than the one who mounts may read it
	Data        []string // further words for mount(2), as an SELinux context=
	Debug       bool     // log each request
	Log         *log.Logger
}

// Mount mounts the tree on a directory, which is an absolute path, or
// /dev/fd/N when the caller has been handed a mount that is made already. The
// mount answers when Mount returns; Wait of the server returns when it has been
// unmounted. dev is the mount's, as in stat(2), but 0 of one that was handed over.
//
// Root mounts by itself, anybody else through fusermount3.
func Mount(t *index.Tree, dir string, o Options) (server *fuse.Server, dev uint64, err error) {
	mo := &fuse.MountOptions{
		Name:       strings.TrimPrefix(Type, "fuse."),
		FsName:     o.Source,
		AllowOther: o.AllowOther,
		Options:    append([]string{"default_permissions"}, o.Data...),
		Debug:      o.Debug,
		Logger:     o.Log,

		// Nobody but us could tell the kernel that something has changed, and
		// nothing does.
		EnableSymlinkCaching:     true,
		ExplicitDataCacheControl: true,
		ExtraCapabilities:        capNoOpendirSupport,
		// Passthrough counts as a layer, of which overlayfs takes two at most.
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
	s := newServer(t, o.Log)
	server, err = fuse.NewServer(s, dir, mo)
	if err != nil {
		return nil, 0, err
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		syscall.Unmount(dir, syscall.MNT_DETACH)
		return nil, 0, err
	}
	if IsHandedOver(dir) {
		return server, 0, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		syscall.Unmount(dir, syscall.MNT_DETACH)
		return nil, 0, err
	}
	s.ahead.Store(newReadAhead(t, dir, st.Dev))
	go t.Hot() // is known then when the first header is read
	return server, st.Dev, nil
}

// IsHandedOver tells whether a mount point is one of the form /dev/fd/N, by
// which mount.fuse3 with drop_privileges hands over what it has mounted.
func IsHandedOver(dir string) bool {
	return strings.HasPrefix(dir, "/dev/fd/")
}
