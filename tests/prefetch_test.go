// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPrefetch reads one header that many programs begin with. kheadersfs then
// reads the headers that come with it, so that the kernel answers a read of one of
// them from its cache.
func TestPrefetch(t *testing.T) {
	for name, archive := range map[string]string{"stock": stockArchive(t), "packed": packedArchive(t)} {
		t.Run(name, func(t *testing.T) {
			mnt, requests := mountLogged(t, archive)
			content(t, filepath.Join(mnt, "include/linux/kconfig.h"))
			eventually(t, "other headers to be read", func() bool {
				return requests(`READ n\d+ \{Fh 0 \[0 `) > 100
			})
			// The first window holds what linux/types.h includes.
			eventually(t, "a read that sends no request", func() bool {
				before := requests("")
				content(t, filepath.Join(mnt, "include/linux/types.h"))
				return requests("") == before
			})
		})
	}
}

// TestPrefetchIsNotBusy unmounts while headers are prefetched.
func TestPrefetchIsNotBusy(t *testing.T) {
	needMounts(t)
	archive := packedArchive(t)
	for i := range 20 {
		mnt := mount(t, archive)
		pid := daemon(mnt)
		for _, name := range []string{"kconfig", "sched", "fs"}[:1+i%3] {
			content(t, filepath.Join(mnt, "include/linux", name+".h"))
		}
		if err := unix.Unmount(mnt, 0); err != nil {
			t.Fatal(fmt.Errorf("unmounting the %d. time: %w", i+1, err))
		}
		waitGone(t, pid)
	}
}

// TestPrefetchKilled kills a server without a holder while it prefetches, at many moments:
// it ends, and leaves a dead mount.
func TestPrefetchKilled(t *testing.T) {
	archive := packedArchive(t)
	for i := range 40 {
		mnt := mount(t, archive)
		pid := daemon(mnt)
		check(t, unix.Kill(holder(t, mnt), unix.SIGKILL))
		content(t, filepath.Join(mnt, "include/linux/kconfig.h"))
		time.Sleep(time.Duration(i) * 500 * time.Microsecond)
		check(t, unix.Kill(pid, unix.SIGKILL))
		waitGone(t, pid)
		var st unix.Statfs_t
		eventually(t, "a dead mount", func() bool { return unix.Statfs(mnt, &st) == unix.ENOTCONN })
	}
}
