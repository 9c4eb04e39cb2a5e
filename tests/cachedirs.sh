#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/cachedirs.sh TEST
#
# Mounts ARCHIVE, whose SHA-256 is HASH, as root or as an ordinary user, and finds its
# cache file where it should be. It needs a mount namespace of its own.
# shellcheck disable=SC2317 # functions are called by name
set -eu
# shellcheck source=tests/mount8.sh
. ./mount8.sh

unset CACHE_DIRECTORY
mkdir "$DIR/home"
chown 65534 "$DIR/home" "$MNT"
user=
be_user() { user=as_user; }

cycle() { # FLAG...
  $user "$EXE" "$@" "$ARCHIVE" "$MNT" 2>"$DIR/err"
  $user cat "$MNT/include/linux/kconfig.h"
  if [ "$user" ]; then as_user fusermount3 -u "$MNT"; else umount "$MNT"; fi
  gone
}
used() { # DIRECTORY FLAG...
  to=$1
  shift
  cycle "$@"
  is "$(ls "$to")" "$HASH.v1.tar.zst"
  is "$(cat "$DIR/err")" ""
  touch -d @1000000000 "$to/$HASH.v1.tar.zst"
  cycle "$@"
  [ "$(stat -c %Y "$to/$HASH.v1.tar.zst")" -gt 1000000000 ]
}
warned() { # MESSAGE FLAG...
  want=$1
  shift
  cycle "$@"
  is "$(cat "$DIR/err")" "kheadersfs: $want
hint: --cache-dir DIR uses another directory, --no-cache none"
}

test_root() {
  mount -t tmpfs -o mode=755 none /var/cache
  export HOME=/nowhere XDG_CACHE_HOME=/nowhere
  used /var/cache/kheadersfs
}

test_root_no_cache() {
  mount -t tmpfs -o mode=755 none /var/cache
  cycle --no-cache
  is "$(cat "$DIR/err")" ""
  fails ls /var/cache/kheadersfs
}

test_root_no_var_cache() {
  mount -t tmpfs -o mode=755,ro none /var
  warned "warning: no cache: /var/cache: read-only file system"
}

test_xdg_cache_home() {
  be_user
  export XDG_CACHE_HOME=$DIR/home/x
  used "$XDG_CACHE_HOME/kheadersfs"
  is "$(stat -c %a "$XDG_CACHE_HOME")" 700
}

test_home() {
  be_user
  unset XDG_CACHE_HOME
  export HOME=$DIR/home
  used "$HOME/.cache/kheadersfs"
}

test_cache_dir() {
  be_user
  export XDG_CACHE_HOME=$DIR/home
  used "$DIR/home/other" --cache-dir "$DIR/home/other"
  fails ls "$XDG_CACHE_HOME/kheadersfs"
}

test_relative_cache_dir() {
  be_user
  cd "$DIR/home"
  used "$DIR/home/other" --cache-dir other
}

# systemd sets it for a service.
test_cache_directory() {
  be_user
  export CACHE_DIRECTORY=$DIR/home/service:$DIR/home/other XDG_CACHE_HOME=/nowhere
  used "$DIR/home/service"
}

test_neither() {
  be_user
  unset HOME XDG_CACHE_HOME
  # shellcheck disable=SC2016 # the message names the variables
  warned 'warning: no cache: neither $XDG_CACHE_HOME nor $HOME are defined'
}

test_somebody_elses() {
  be_user
  export XDG_CACHE_HOME=/
  warned "warning: no cache: /kheadersfs: permission denied"
}

test_world_writable() {
  be_user
  as_user mkdir -m 777 "$DIR/home/open"
  warned "warning: no cache: $DIR/home/open: others may write to it (mode 0777)" --cache-dir "$DIR/home/open"
}

"test_$1"
