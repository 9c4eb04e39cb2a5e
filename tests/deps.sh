#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/deps.sh test|slow|lint|demo|bench...
#
# Installs the Debian packages that make test, test-slow, lint, demo or bench needs, those that
# are missing only. With nothing missing it needs neither root nor the network. For
# bench, other filesystems that this Debian doesn't have are named, and done without.
#
# Kernels and their headers are not among them: headers.sh and kernel.sh unpack those
# that tests read.
set -eu

packages='' peers=''
[ $# -gt 0 ] || set -- test lint demo
for what in "$@"; do
  case $what in
  demo) packages="$packages clang perl util-linux xz-utils" ;;
  lint) packages="$packages mandoc shellcheck" ;;
  test)
    packages="$packages
      bpftrace clang clangd fuse3 gcc libc6-dev make binutils gzip mount
      busybox-static cpio dkms kmod openssl pahole pkgconf qemu-system-x86 sparse
      debootstrap dpkg git lintian rpm systemd
      attr fish libarchive-tools monitoring-plugins-basic perl procps python3 python3-bpfcc util-linux xz-utils zsh zstd
    "
    ;;
  slow) packages="$packages bc bison bpfcc-tools flex libelf-dev libssl-dev lld llvm" ;;
  bench)
    packages="$packages clang gcc libc6-dev perl procps util-linux xz-utils zstd"
    peers="archivemount e2fsprogs erofs-utils erofsfuse findutils fuse-archive squashfs-tools squashfuse tar"
    ;;
  *) echo "deps.sh: usage: tests/deps.sh test|slow|lint|demo|bench..." >&2; exit 2 ;;
  esac
done
# Only an ordinary user mounts with its help.
[ "$(id -u)" = 0 ] || packages="$packages fuse3"

# missing prints those of the packages that are not installed.
missing() {
  for p in "$@"; do
    case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
    "install ok installed") ;;
    *) echo "$p" ;;
    esac
  done | sort -u | tr '\n' ' '
}
# shellcheck disable=SC2086 # lists, here and below
packages=$(missing $packages) peers=$(missing $peers)
[ -n "$packages$peers" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
  as_root=sudo
  if ! command -v sudo >/dev/null || ! sudo -v; then
    echo "deps.sh: packages are missing, and installing them needs root: $packages" >&2
    echo "hint: as root, apt-get install --no-install-recommends $packages" >&2
    [ -z "$packages" ] || exit 1
    exit 0
  fi
fi
install() {
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}
$as_root apt-get update -q || [ -z "$packages" ]
if [ -n "$packages" ]; then
  echo "installing: $packages"
  # shellcheck disable=SC2086
  install $packages
fi
for p in $peers; do
  install "$p" || echo "without the package $p"
done
