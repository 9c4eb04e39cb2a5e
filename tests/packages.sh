#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/packages.sh TEST
#
# Installs, upgrades and removes the packages in FIRST and SECOND, two versions of them, in
# a root directory below DIR, while ARCHIVE is mounted there. It needs a mount namespace of
# its own.
# shellcheck disable=SC2317 # functions are called by name
set -euo pipefail

root=$DIR/root
mnt=$root/usr/src/kheaders
cache=$root/var/cache/kheadersfs

fail() { echo "FAIL: $*" >&2; exit 1; }
is() { [ "$1" = "$2" ] || fail "$1 instead of $2"; }
server() { pgrep -f "kheadersfs --ready-fd=.* $mnt\$"; }
gone() { while kill -0 "$1" 2>/dev/null; do sleep 0.05; done; }
start() { CACHE_DIRECTORY=$cache "$root/usr/bin/kheadersfs" "$ARCHIVE" "$mnt"; }
version() { "$root/usr/bin/kheadersfs" --version | cut -d ' ' -f 2; }

# life upgrades below a mount, live and dead, and removes below one. manage is what the
# package manager is asked for.
# shellcheck disable=SC2153 # not first
life() {
  manage install "$FIRST"
  is "$(version)" "$(cat "$FIRST/version")"
  is "$(stat -c '%U %a' "$mnt")" "root 755"
  start
  first=$(server)
  cat "$mnt/include/empty.h"

  manage install "$SECOND"
  is "$(version)" "$(cat "$SECOND/version")"
  is "$(server)" "$first"
  cmp "$mnt/include/big.h" "$TREE/include/big.h"
  umount "$mnt"
  gone "$first"

  start
  dead=$(server)
  kill -KILL "$dead"
  gone "$dead"
  manage install "$FIRST"
  is "$(version)" "$(cat "$FIRST/version")"
  start # in place of the dead one
  cmp "$mnt/include/big.h" "$TREE/include/big.h"

  second=$(server)
  manage remove
  [ ! -e "$root/usr/bin/kheadersfs" ] || fail "not removed"
  is "$(server)" "$second"
  cmp "$mnt/include/linux/types.h" "$TREE/include/linux/types.h"
  umount "$mnt"
  gone "$second"
}

# purged has nothing left but directories, and what is not ours.
purged() {
  [ ! -e "$cache" ] || fail "the cache is left"
  left=$(find "$root" ! -type d -name '*kheaders*' ! -path '*/neighbour/*')
  is "$left" ""
  is "$(cat "$root/var/cache/neighbour/kheaders")" mine
}

mkdir -p "$root/var/cache/neighbour"
echo mine >"$root/var/cache/neighbour/kheaders"

# Without a chroot, scripts of packages run here, and are told where root is.
test_deb() {
  mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
  : >"$root/var/lib/dpkg/status"
  manage() {
    case $1 in
    install) set -- -i "$2"/kheadersfs_*.deb ;;
    remove) set -- --remove kheadersfs ;;
    purge) set -- --purge kheadersfs ;;
    esac
    dpkg --root="$root" --log=/dev/null --force-script-chrootless --force-downgrade "$@"
  }
  manage install "$FIRST"
  is "$(stat -c '%U %a' "$cache")" "root 755"
  life
  [ -n "$(ls "$cache")" ] || fail "no cache file after removal"
  manage purge
  purged
}

# rpm's scripts run in a chroot, which has busybox. It has no purge.
test_rpm() {
  mkdir -p "$root/bin" "$root/dev"
  touch "$root/dev/null"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for name in sh mkdir rm; do ln -s busybox "$root/bin/$name"; done
  manage() {
    case $1 in
    install) set -- -U --oldpackage "$2"/kheadersfs-[0-9]*.rpm ;;
    remove) set -- -e kheadersfs ;;
    esac
    rpm --root "$root" --nodeps "$@"
  }
  rpm --root "$root" --initdb
  life
  purged
}

"test_$1"
