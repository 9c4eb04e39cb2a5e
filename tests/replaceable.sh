#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/replaceable.sh TEST
#
# Mounts ARCHIVE as root where another user can replace the mount point, and where none
# can. It needs a mount namespace of its own.
# shellcheck disable=SC2317 # functions are called by name
set -eu
# shellcheck source=tests/mount8.sh
. ./mount8.sh
mkdir "$DIR/home" "$DIR/safe"
chown 65534 "$DIR/home"

refused() { # MOUNTPOINT REASON
  fails "$EXE" "$ARCHIVE" "$1" 2>"$DIR/err"
  is "$(cat "$DIR/err")" "kheadersfs: mount point $1: other users can replace it: $2
hint: mount below directories that only root can change, as /usr/src/kheaders, or with --force"
  fails mountpoint -q "$1"
  "$EXE" --force "$ARCHIVE" "$1"
  umount "$1"
  "$EXE" -o force "$ARCHIVE" "$1"
  umount "$1"
}
accepted() { # MOUNTPOINT
  "$EXE" "$ARCHIVE" "$1"
  ls "$1/include"
  umount "$1"
}

test_below_a_users_directory() {
  mkdir "$DIR/home/m"
  refused "$DIR/home/m" "$DIR/home belongs to user 65534"
}

test_writable() {
  chmod 777 "$DIR/safe"
  mkdir "$DIR/safe/m"
  refused "$DIR/safe/m" "$DIR/safe has mode 0777"
  chmod 775 "$DIR/safe"
  refused "$DIR/safe/m" "$DIR/safe has mode 0775"
}

test_sticky() {
  chmod 1777 "$DIR/safe"
  mkdir "$DIR/safe/m"
  accepted "$DIR/safe/m"
  as_user mkdir "$DIR/safe/u"
  refused "$DIR/safe/u" "$DIR/safe/u belongs to user 65534"
}

# The link leads to where root alone may write, today.
test_link() {
  chmod 1777 "$DIR/safe"
  as_user ln -s "$MNT" "$DIR/safe/link"
  refused "$DIR/safe/link" "$DIR/safe/link belongs to user 65534"
  as_user ln -s "$MNT" "$DIR/home/link"
  refused "$DIR/home/link" "$DIR/home belongs to user 65534"
  ln -s "$DIR/home" "$DIR/way"
  mkdir "$DIR/home/m"
  refused "$DIR/way/m" "$DIR/home belongs to user 65534"
  ln -s ./safe/.. "$DIR/here"
  mkdir "$DIR/m"
  accepted "$DIR/here/m"
}

# Who may write into the directory that is mounted on cannot replace it.
test_mount_point_of_a_user() {
  chown 65534 "$MNT"
  chmod 777 "$MNT"
  accepted "$MNT"
}

"test_$1"
