#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/package.sh PACKAGE DIR
#
# Downloads a package into a directory of its name below DIR, unless it is there, and prints
# the file. Nothing is installed.
set -eu

package=$1 dir=$2/$1
download() {
  rm -rf "$dir.part"
  mkdir -p "$dir.part"
  # Root's downloads need no user of their own, who could not write here.
  (cd "$dir.part" && apt-get -o APT::Sandbox::User=root -qq download "$package" >&2) && mv "$dir.part" "$dir"
}

if ! [ -d "$dir" ]; then
  # The lists may be older than what they list.
  download || { [ "$(id -u)" = 0 ] && apt-get update -q >&2 && download; } ||
    { echo "package.sh: apt cannot download $package" >&2; exit 1; }
fi
(cd "$dir" && echo "$PWD"/*.deb)
