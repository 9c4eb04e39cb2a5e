#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/packages-debian.sh TEST
#
# Installs, uses, upgrades and removes packages in SYSTEM, a Debian release that stays as it
# is, as in packages-life.sh.
# shellcheck disable=SC2317 # functions are called by name
set -euo pipefail
mkdir "$DIR/root" "$DIR/upper" "$DIR/work"
mount -t overlay -o "lowerdir=$SYSTEM,upperdir=$DIR/upper,workdir=$DIR/work" none "$DIR/root"
# shellcheck source=tests/packages-life.sh
. ./packages-life.sh

mount -t proc none "$root/proc"
mount --rbind /dev "$root/dev"
mkdir "$root/packages"
cp "$ARCHIVE" "$root/packages/archive.tar.xz"
cp -r "$FIRST" "$SECOND" "$root/packages"
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/fast"

system() {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@" </dev/null
}
apt() { system apt-get -q -y --no-install-recommends --allow-downgrades "$@"; }
inside=$root place=/usr/src/kheaders
start() { system mount -t kheadersfs /packages/archive.tar.xz /usr/src/kheaders; }
# copied prints where system sees the file of FIRST or SECOND that a pattern matches.
copied() { # DIRECTORY PATTERN
  find "$root/packages/$(basename "$1")" -name "$2" -printf "/packages/$(basename "$1")/%f\n"
}

test_deb() {
  manage() {
    case $1 in
    install) apt install "$(copied "$2" 'kheadersfs_*.deb')" ;;
    *) apt "$1" kheadersfs ;;
    esac
  }
  apt update
  manage install "$FIRST"
  life
  [ -n "$(ls "$cache")" ] || fail "no cache file after removal"
  manage purge
  purged
}

# The module is built for the kernel whose headers come with it, is read, and goes with
# its package.
test_dkms() {
  built() { find "$root/lib/modules/" -name 'kheaders.ko*'; }
  apt update
  # shellcheck disable=SC2046 # a list
  apt install $(copied "$FIRST" '*.deb') linux-headers-cloud-amd64
  release=$(basename "$(dirname "$(ls -d "$root"/lib/modules/*/build)")")
  is "$(system dkms status | grep -c "^kheadersfs/$(cat "$FIRST/version"), $release,.*: installed")" 1
  system kheadersfs --release "$release" --strict /usr/src/kheaders
  grep "UTS_RELEASE \"$release\"" "$mnt/include/generated/utsrelease.h"

  # The administrator's choice stays when the package is upgraded.
  grep -q '^#MAKE\[0\]+=" KBUILD=1"$' "$root/etc/dkms/kheadersfs.conf"
  sed -i 's/^#MAKE/MAKE/' "$root/etc/dkms/kheadersfs.conf"
  # shellcheck disable=SC2046
  apt install $(copied "$SECOND" '*.deb')
  is "$(system dkms status | grep -c kheadersfs/)" 1
  is "$(system dkms status | grep -c "^kheadersfs/$(cat "$SECOND/version"), $release,.*: installed")" 1
  cat "$mnt/include/linux/sched.h" >/dev/null
  umount "$mnt"
  system kheadersfs info --release "$release" | grep '^builds '
  [ -n "$(built)" ] || fail "no module"

  apt remove kheadersfs-dkms
  is "$(built)" ""
  is "$(find "$root/var/lib/dkms" "$root/usr/src" -name 'kheadersfs*')" ""
  apt purge kheadersfs-dkms kheadersfs
  is "$(find "$root/etc/dkms" -name 'kheadersfs*')" ""
  purged
}

# rpm is Debian's. It does not know what dpkg has installed.
test_rpm() {
  manage() {
    case $1 in
    install) system rpm -U --nodeps --oldpackage "$(copied "$2" 'kheadersfs-[0-9]*.rpm')" ;;
    *) system rpm -e --nodeps kheadersfs ;;
    esac
  }
  apt update
  apt install rpm
  manage install "$FIRST"
  life
  purged
}

"test_$1"
