#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/noway.sh TEST
#
# Takes away what mounting needs, in a mount namespace of its own, and tries.
# shellcheck disable=SC2317 # functions are called by name
set -eu
# shellcheck source=tests/mount8.sh
. ./mount8.sh

user() { chown "${1:-0}" "$MNT"; command="setpriv --reuid=65534 --clear-groups $EXE --no-cache"; }
command=$EXE

test_no_device() {
  umount /dev/fuse
  mount -t tmpfs none /dev
}

test_device_disabled() {
  test_no_device
  mknod /dev/fuse c 10 250
}

test_no_cap_sys_admin() { command="setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin $EXE"; }

test_not_the_users() { user; }

test_sticky_not_the_users() {
  chmod 1777 "$MNT"
  user
}

test_no_user_allow_other() {
  mount --bind "$DIR/fstab" /etc/fuse.conf
  user 65534
  command="$command -o allow_other"
}

test_no_fusermount3() {
  for f in /usr/bin/fusermount3 /usr/bin/fusermount; do mount --bind "$DIR/fstab" $f; done
  user 65534
}

"test_$1"
# shellcheck disable=SC2086 # a command with its arguments
fails $command "$ARCHIVE" "$MNT"
fails mountpoint -q "$MNT"
