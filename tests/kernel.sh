#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/kernel.sh FLAVOUR DIR
#
# Unpacks below DIR the newest kernel that apt has of a flavour ("cloud-amd64",
# "6.12-cloud-amd64": what the metapackages linux-image-* are called) together
# with its headers, and prints the directory. What is there already is taken.
#
# Nothing is installed: a kernel's package makes an initramfs and entries of a
# boot loader, and pulls in what these need.
set -eu

flavour=$1
dir=$(mkdir -p "$2" && cd "$2" && pwd)

depends() { apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Depends: //p' | sed 's/[,|]/\n/g'; }

fetch() {
  release=$(depends "linux-image-$flavour" | sed -n 's/^ *linux-image-\([^ ]*\).*/\1/p')
  [ -n "$release" ] || return 1
  root=$dir/$release
  if [ -d "$root" ]; then return; fi
  rm -rf "$root.part"
  mkdir "$root.part"
  # shellcheck disable=SC2046 # a list
  (cd "$root.part" && apt-get download -q "linux-image-$release" "linux-headers-$release" \
    $(depends "linux-headers-$release" | sed -n 's/^ *\(linux-headers-[^ ]*\|linux-kbuild-[^ ]*\).*/\1/p') >&2) || return 1
  for deb in "$root.part"/*.deb; do
    dpkg-deb -x "$deb" "$root.part"
    rm "$deb"
  done
  mv "$root.part" "$root"
}

# apt's lists may be missing, or older than what they list.
if ! fetch; then
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  $as_root apt-get update -q >&2
  fetch || { echo "kernel.sh: apt has no linux-image-$flavour" >&2; exit 1; }
fi

# The headers name each other by where they would be installed.
sed -i "s,^include .*/usr/src/,include $root/usr/src/," "$root/usr/src/linux-headers-$release/Makefile"
ln -sfn "$root/usr/src/linux-headers-$release" "$root/lib/modules/$release/build"
echo "$root"
