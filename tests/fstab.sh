#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/fstab.sh TEST
#
# Mounts ARCHIVE on MNT through mount(8), in a mount namespace of its own. /etc/fstab has
# a line for it, with the type TYPE and the options of the test.
# shellcheck disable=SC2317 # functions are called by name
set -eu

source=$ARCHIVE options=defaults
case $1 in
kheaders | auto | none) source=$1 ;;
mount_target | mount_t | user_without_fstab) options=noauto ;;
generic_words) options=rw,dev,suid,exec,async,noatime,nofail,_netdev,x-systemd.automount,X-mount.mkdir,comment=hello,noauto,group,sync ;;
own_words) options=strict,release=1.2.3,verbose ;;
libfuse_words) options=nonempty,auto_unmount,fsname=a,subtype=b,max_read=131072,blksize=4096,kernel_cache,attr_timeout=1,big_writes,intr ;;
refused_word) options=noauto,umask=077 ;;
noexec) options=noexec ;;
nosymfollow) options=noauto,nosymfollow ;;
unknown_word) options=noauto,nonsense=1 ;;
misspelt_word) options=noauto,no-cahce ;;
user) options=noauto,user ;;
spaces)
  cp "$ARCHIVE" "$DIR/an archive"
  mkdir "$DIR/a mount"
  source=$DIR/an\\040archive MNT=$DIR/a\\040mount
  ;;
dropped_privileges) options=noauto,ro,nosuid,nodev,drop_privileges,setuid=nobody,allow_other ;;
esac
FSTAB="$source $MNT $TYPE $options 0 0"
# shellcheck source=tests/mount8.sh
. ./mount8.sh
usage=2
if [ "$TYPE" = kheadersfs ]; then
  with_helpers
  usage=1
fi

test_mount_a() {
  mount -a
  mount -a
  is "$(grep -c " $MNT " /proc/mounts)" 1
  is "$(shown SOURCE)" "$ARCHIVE"
  is "$(shown FSTYPE)" fuse.kheadersfs
  case $(shown OPTIONS) in
  ro,nosuid,nodev,relatime,*) ;;
  *) shown OPTIONS; exit 1 ;;
  esac
  as_user cat "$MNT/include/linux/kconfig.h"
  umount "$MNT"
  fails mountpoint "$MNT"
}

test_mount_target() {
  mount -a
  fails mountpoint "$MNT"
  mount "$MNT"
  ls "$MNT/include"
  umount "$MNT"
  mount "$ARCHIVE"
  ls "$MNT/include"
  umount "$ARCHIVE"
  fails mountpoint "$MNT"
}

test_generic_words() {
  mount "$MNT"
  is "$(shown OPTIONS | cut -d, -f1-3)" ro,nosuid,nodev
  umount "$MNT"
}

test_own_words() {
  mount "$MNT" 2>&1 | grep "mounted on"
  umount "$MNT"
}

test_libfuse_words() {
  mount "$MNT"
  is "$(shown SOURCE)" "$ARCHIVE"
  is "$(shown FSTYPE)" fuse.kheadersfs
  umount "$MNT"
}

# A word of libfuse that would change what is seen.
test_refused_word() {
  status $usage mount "$MNT"
  grep 'option "umask=077" is not supported' "$DIR/err"
  grep "hint: leave it out" "$DIR/err"
}

test_noexec() {
  mount "$MNT"
  shown OPTIONS | grep noexec
  fails "$MNT/bin/script"
  umount "$MNT"
}

test_nosymfollow() {
  mount "$MNT"
  shown OPTIONS | grep nosymfollow
  fails cat "$MNT/include/generated/link.h"
  umount "$MNT"
}

test_remount() {
  mount "$MNT"
  if mount -o remount "$MNT" 2>"$DIR/err"; then exit 1; fi
  cat "$DIR/err"
  grep '"remount"' "$DIR/err"
  ls "$MNT/include"
  umount "$MNT"
}

test_unknown_word() {
  status $usage mount "$MNT"
  grep '"nonsense=1"' "$DIR/err"
  grep "hint: kheadersfs help mount" "$DIR/err"
}

test_misspelt_word() {
  fails mount "$MNT" 2>"$DIR/err"
  grep "hint: did you mean no-cache?" "$DIR/err"
}

test_mount_t() {
  mount -t "$TYPE" "$ARCHIVE" "$MNT"
  ls "$MNT/include"
  umount "$MNT"
}

test_user() {
  chown 65534 "$MNT"
  as_user mount "$MNT"
  is "$(shown SOURCE)" "$ARCHIVE"
  case $(shown OPTIONS) in
  ro,nosuid,nodev,*user_id=65534*) ;;
  *) shown OPTIONS; exit 1 ;;
  esac
  as_user cat "$MNT/include/linux/kconfig.h"
  fails cat "$MNT/include/linux/kconfig.h"
  as_user umount "$MNT"
  fails mountpoint "$MNT"
}

test_user_without_fstab() {
  chown 65534 "$MNT"
  as_user "$EXE" "$ARCHIVE" "$MNT"
  as_user cat "$MNT/include/linux/kconfig.h"
  as_user fusermount3 -u "$MNT"
  fails mountpoint "$MNT"
  as_user "$EXE" "$ARCHIVE" "$MNT"
  kill "$(server)"
  gone
  fails mountpoint "$MNT"
  as_user env -i PATH=/nowhere "$EXE" "$ARCHIVE" "$MNT"
  kill "$(server)"
  gone
  fails mountpoint "$MNT"
  chmod 600 /dev/fuse
  if as_user "$EXE" "$ARCHIVE" "$MNT" 2>"$DIR/err"; then exit 1; fi
  grep 'hint: chmod 0666 /dev/fuse' "$DIR/err"
}

# Names with spaces are as fstab(5) and /proc/mounts have them.
test_spaces() {
  mount -a
  mount -a
  is "$(grep -c -F "$DIR/an\040archive $DIR/a\040mount fuse.kheadersfs " /proc/mounts)" 1
  "$EXE" cflags --for clangd "$DIR/a mount" | grep -x -- "-isystem$DIR/a mount/include"
  umount "$DIR/a mount"
  mount "$DIR/a mount"
  umount "$DIR/an archive"
  fails grep -F "$DIR/a\040mount" /proc/mounts
}

# That is a word of mount.fuse3.
test_dropped_privileges() {
  if [ "$TYPE" = kheadersfs ]; then
    status 1 mount "$MNT"
    grep 'option "drop_privileges" is not supported' "$DIR/err"
    grep 'hint: use the type fuse3.kheadersfs' "$DIR/err"
    return
  fi
  mount "$MNT"
  ls "$MNT/include"
  pid=$(pgrep -n -f "ready-fd=.*$ARCHIVE") # its mount point is /dev/fd/N
  is "$(ps -o user= -p "$pid")" nobody
  kill "$pid"
  umount -l "$MNT"
}

# Words in the first field that mean to find the archive. The second time mount(8)
# must know that it is mounted.
found_by() { # WORD
  # shellcheck source=tests/modules.sh
  . ./modules.sh
  cp "$ARCHIVE" "$DIR/archive"
  module "$MODULES/kernel/kernel"
  mount -a
  mount -a
  is "$(grep -c " $MNT " /proc/mounts)" 1
  is "$(shown SOURCE)" "$1"
  ls "$MNT/include"
  umount "$MNT"
}
test_kheaders() { found_by kheaders; }
test_auto() { found_by auto; }
test_none() { found_by none; }

"test_$1"
