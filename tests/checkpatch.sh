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

fetch() {
  source=$(apt-cache search --names-only '^linux-source-[0-9.]+$' | cut -d ' ' -f 1 | sort -V | tail -n 1)
  [ -n "$source" ] && (cd "$part" && apt-get download -q "$source" >&2)
}

if ! [ -f "$dir/scripts/checkpatch.pl" ]; then
  part=$(mktemp -d -p "$dir")
  trap 'rm -rf "$part"' EXIT
  # apt's lists may be missing, or older than what they list.
  if ! fetch; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -q >&2
    fetch || { echo "checkpatch.sh: apt has no linux-source" >&2; exit 1; }
  fi
  dpkg-deb --fsys-tarfile "$part"/*.deb | tar -xO "./usr/src/$source.tar.xz" | tar -C "$part" -xJf - --strip-components=1 \
    --wildcards '*/scripts/checkpatch.pl' '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch'
  mv "$part/scripts" "$dir"
fi

perl "$dir/scripts/checkpatch.pl" --no-tree --strict --quiet --ignore AVOID_EXTERNS -f kheaders.c Kbuild Makefile
