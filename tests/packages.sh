#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/packages.sh TEST
#
# Installs, upgrades and removes packages in a root directory with nothing else, below
# mounts. See packages-life.sh.
# shellcheck disable=SC2317 # functions are called by name
set -euo pipefail
mkdir -p "$DIR/root"
# shellcheck source=tests/packages-life.sh
. ./packages-life.sh

inside=/ place=$mnt
start() { CACHE_DIRECTORY=$cache "$root/usr/bin/kheadersfs" "$ARCHIVE" "$mnt"; }

# Without a chroot, scripts of packages run here, and are told where root is.
test_deb() {
  mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
  : >"$root/var/lib/dpkg/status"
  manage() {
    case $1 in
    install) set -- -i "$2"/kheadersfs_*.deb ;;
    *) set -- "--$1" kheadersfs ;;
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
  cp "$(command -v busybox)" "$root/bin/busybox"
  for name in sh mkdir rm; do ln -s busybox "$root/bin/$name"; done
  : >"$root/dev/null"
  manage() {
    case $1 in
    install) set -- -U --oldpackage "$2"/kheadersfs-[0-9]*.rpm ;;
    *) set -- -e kheadersfs ;;
    esac
    rpm --root "$root" --nodeps "$@"
  }
  rpm --root "$root" --initdb
  manage install "$FIRST"
  life
  purged
}

"test_$1"
