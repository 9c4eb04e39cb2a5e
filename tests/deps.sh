#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/deps.sh [bench]
#
# Installs the Debian packages that tests, lint and demo need, those that are
# missing only. With nothing missing it needs neither root nor the network. With bench, the other filesystems that the benchmarks compare with too; those
# that this Debian doesn't have are named, and done without.
set -eu

packages="
  bpftrace clang fuse3 gcc libc6-dev binutils gzip mount
  busybox-static cpio dkms kmod openssl pahole qemu-system-x86 sparse
  libarchive-tools perl procps python3-bpfcc shellcheck util-linux xz-utils zstd
  linux-headers-$(dpkg --print-architecture)
"
peers=
case $* in
'') ;;
bench) peers="archivemount e2fsprogs erofs-utils erofsfuse findutils fuse-archive squashfs-tools squashfuse tar" ;;
*) echo "deps.sh: usage: tests/deps.sh [bench]" >&2; exit 2 ;;
esac

# missing prints those of the packages that are not installed.
missing() {
  for p in "$@"; do
    case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
    "install ok installed") ;;
    *) printf ' %s' "$p" ;;
    esac
  done
}
# shellcheck disable=SC2086 # lists, here and below
packages=$(missing $packages) peers=$(missing $peers)
[ -n "$packages$peers" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
  as_root=sudo
fi
$as_root apt-get update -q || [ -z "$packages" ]
if [ -n "$packages" ]; then
  echo "installing:$packages"
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
fi
for p in $peers; do
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$p" ||
    echo "without the package $p"
done
