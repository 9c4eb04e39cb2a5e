#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/helper.sh TEST
#
# Calls the program as mount(8) calls helpers, or has mount(8) call it, to mount ARCHIVE
# on MNT. It needs a mount namespace of its own.
# shellcheck disable=SC2317 # functions are called by name
set -eu
# shellcheck source=tests/mount8.sh
. ./mount8.sh
with_helpers

end() {
  ls "$MNT/include/linux/kconfig.h"
  umount "$MNT"
  fails mountpoint -q "$MNT"
}

test_flags() {
  status 0 mount.kheadersfs "$ARCHIVE" "$MNT" -s -n -v -o rw,noexec,release=1.2.3 -t kheadersfs.sub
  grep "mounted on $MNT" "$DIR/err"
  shown OPTIONS | grep noexec
  end
  status 0 mount.kheadersfs "$ARCHIVE" "$MNT"
  end
}

test_mount_t() {
  for type in kheadersfs fuse.kheadersfs kheadersfs.sub; do
    mount -t $type "$ARCHIVE" "$MNT"
    is "$(shown FSTYPE)" fuse.kheadersfs
    end
  done
}

test_fake() {
  status 0 mount -f -v -t kheadersfs "$ARCHIVE" "$MNT"
  grep "loaded 20 entries" "$DIR/err"
  fails mountpoint -q "$MNT"
  status 32 mount -f -t kheadersfs "$DIR/nothing" "$MNT"
}

test_sloppy() {
  status 1 mount -t kheadersfs -o nonsense,noexec "$ARCHIVE" "$MNT"
  grep 'unknown option "nonsense"' "$DIR/err"
  status 0 mount -s -t kheadersfs -o 'nonsense,noexec,more=1\,2' "$ARCHIVE" "$MNT"
  shown OPTIONS | grep noexec
  end
}

test_statuses() {
  status 32 mount -t kheadersfs "$DIR/nothing" "$MNT"
  grep "kheadersfs: open $DIR/nothing: no such file" "$DIR/err"
  status 32 mount.kheadersfs "$ARCHIVE" "$DIR/nowhere"
  status 1 mount.kheadersfs "$ARCHIVE"
  status 1 mount.kheadersfs "$ARCHIVE" "$MNT" -x
  status 1 mount.kheadersfs "$ARCHIVE" "$MNT" -o
  status 1 mount -t kheadersfs -o remount "$ARCHIVE" "$MNT"
  mount -t kheadersfs "$ARCHIVE" "$MNT"
  status 32 mount.kheadersfs "$ARCHIVE" "$MNT"
  grep "already mounted" "$DIR/err"
  end
}

# Who enters a mount namespace is at its root, and not in a chroot.
test_namespace() {
  unshare -m --propagation private sleep 1000000 >/dev/null 2>&1 &
  other=$!
  # It sleeps when it is in its own namespace.
  until [ "$(readlink /proc/$other/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ] &&
    [ "$(cat /proc/$other/comm)" = sleep ]; do kill -0 $other; done
  status 0 mount -N $other -t kheadersfs "$ARCHIVE" "$MNT"
  fails mountpoint -q "$MNT"
  nsenter -t $other -m ls "$MNT/include/linux/kconfig.h"
  status 32 mount -N $other -t kheadersfs "$DIR/nothing" "$MNT"
  status 1 mount -N $other -t kheadersfs -o nonsense "$ARCHIVE" "$MNT"
  nsenter -t $other -m umount "$MNT"
  kill $other
}

test_busybox() {
  busybox mount -t kheadersfs "$ARCHIVE" "$MNT"
  is "$(shown SOURCE)" "$ARCHIVE"
  end
  fails grep -sF "$ARCHIVE" /sys/block/loop*/loop/backing_file
  # It keeps noexec to itself, and passes on what it does not know.
  busybox mount -t kheadersfs -o ro,noexec,nofail,verbose "$ARCHIVE" "$MNT" 2>&1 | grep "mounted on"
  end
  printf '%s %s kheadersfs ro 0 0\n' "$ARCHIVE" "$MNT" >/etc/fstab
  busybox mount "$MNT"
  end
  busybox mount -a
  end
}

"test_$1"
