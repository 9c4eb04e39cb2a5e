#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/deps.sh
#
# Installs the Debian packages that tests, lint and demo need, those that are
# missing only. With nothing missing it needs neither root nor the network.
set -eu

packages="
  bpftrace clang fuse3 gcc libc6-dev binutils gzip mount
  busybox-static cpio dkms kmod openssl pahole qemu-system-x86 sparse
  libarchive-tools perl procps python3-bpfcc shellcheck util-linux xz-utils zstd
  linux-headers-$(dpkg --print-architecture)
"
missing=
for p in $packages; do
  case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
  "install ok installed") ;;
  *) missing="$missing $p" ;;
  esac
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
as_root=
if [ "$(id -u)" != 0 ]; then
  as_root=sudo
fi
$as_root apt-get update -q
# shellcheck disable=SC2086 # a list
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
