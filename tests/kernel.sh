#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/kernel.sh flavours FLAVOUR
#        tests/kernel.sh headers FLAVOUR DIR
#        tests/kernel.sh image FLAVOUR DIR
#
# flavours prints the flavours of kernels that apt has: FLAVOUR itself, such as
# cloud-amd64, and those of other series, such as 6.12-cloud-amd64.
#
# headers unpacks the headers of a flavour's newest kernel, with which modules
# can be built, in a directory below DIR that has the name of the release, and
# prints that directory. image unpacks the kernel with them. What is there
# already is taken, and an interrupted run leaves no such directory.
#
# Nothing is installed: a kernel's package makes an initramfs and entries of a
# boot loader, and pulls in what these need. Since Debian 13 the package of the
# headers depends on it.
set -eu

what=$1 flavour=$2

flavours() {
  found=$(apt-cache search --names-only "^linux-image-([0-9.]+-)?$flavour\$" |
    sed 's/^linux-image-\([^ ]*\).*/\1/' | LC_ALL=C sort -r)
  [ -n "$found" ] && echo "$found"
}

depends() { apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Depends: //p' | sed 's/[,|]/\n/g'; }

# unpack prints the directory.
unpack() {
  release=$(depends "linux-$what-$flavour" | sed -n "s/^ *linux-$what-\([^ ]*\).*/\1/p")
  [ -n "$release" ] || return 1
  root=$dir/$release
  if ! [ -d "$root" ]; then
    headers=linux-headers-$release
    packages="$headers $(depends "$headers" | sed -n 's/^ *\(linux-headers-[^ ]*\|linux-kbuild-[^ ]*\).*/\1/p')"
    [ "$what" = headers ] || packages="linux-image-$release $packages"
    echo "downloading $packages" >&2
    rm -rf "$root.part"
    mkdir "$root.part"
    # Root's downloads need no user of their own, who could not write here.
    # shellcheck disable=SC2086 # a list
    (cd "$root.part" && apt-get -o APT::Sandbox::User=root -qq download $packages >&2) || return 1
    for deb in "$root.part"/*.deb; do
      dpkg-deb -x "$deb" "$root.part"
      rm "$deb"
    done
    mv "$root.part" "$root"
  fi

  # Since Debian 13 packages know that /lib is a link.
  [ -e "$root/lib" ] || ln -s usr/lib "$root/lib"
  # The headers name each other by where they would be installed.
  makefile=$root/usr/src/linux-headers-$release/Makefile build=$root/lib/modules/$release/build
  grep -q "^include $root/usr/src/" "$makefile" || sed -i "s,^include .*/usr/src/,include $root/usr/src/," "$makefile"
  [ "$(readlink -f "$build")" = "${makefile%/*}" ] || ln -sfn "${makefile%/*}" "$build"
  echo "$root"
}

# current runs a command, and once more with new lists when it fails: they may
# be missing, or older than what they list.
current() {
  if "$@"; then return; fi
  if [ "$(id -u)" = 0 ]; then
    apt-get update -q >&2 || true
  elif command -v sudo >/dev/null; then
    sudo apt-get update -q >&2 || true
  else
    echo "kernel.sh: cannot download the $what of flavour $flavour" >&2
    echo "hint: run apt-get update as root" >&2
    exit 1
  fi
  "$@" || { echo "kernel.sh: apt cannot download the $what of flavour $flavour" >&2; exit 1; }
}

case $what:$# in
flavours:2) current flavours ;;
headers:3 | image:3)
  dir=$(mkdir -p "$3" && cd "$3" && pwd)
  # One at a time.
  exec 9<"$dir"
  flock 9
  current unpack
  ;;
*) echo "kernel.sh: usage: tests/kernel.sh flavours FLAVOUR | headers FLAVOUR DIR | image FLAVOUR DIR" >&2; exit 2 ;;
esac
