#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/checkpatch.sh DIR
#
# Has the kernel's own checkpatch.pl look at the module. It comes from Debian's
# package of the kernel's sources, the only one that holds it, and is kept in
# DIR.
set -eu

dir=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/../kmod"

if ! [ -f "$dir/scripts/checkpatch.pl" ]; then
  source=$(apt-cache search --names-only '^linux-source-[0-9.]+$' | cut -d ' ' -f 1 | sort -V | tail -n 1)
  [ -n "$source" ] || { echo "checkpatch.sh: apt has no linux-source" >&2; exit 1; }
  part=$(mktemp -d -p "$dir")
  trap 'rm -rf "$part"' EXIT
  (cd "$part" && apt-get download -q "$source" >&2 && dpkg-deb --fsys-tarfile ./*.deb | tar -xO "./usr/src/$source.tar.xz" |
    tar -xJf - --strip-components=1 --wildcards '*/scripts/checkpatch.pl' '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch')
  mv "$part/scripts" "$dir"
fi

perl "$dir/scripts/checkpatch.pl" --no-tree --strict --quiet --ignore AVOID_EXTERNS -f kheaders.c Kbuild Makefile
