#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/kbuild-archive.sh FILE RELEASE
#
# Makes FILE, a tar of all that modules are built with, from the headers that headers.sh
# finds, as if they were of kernel RELEASE. Their parts are merged into one tree, whose
# Makefile is that of the kernel.
set -eu

out=$1 release=$2
# shellcheck source=tests/parts.sh
. "$(dirname "$0")/parts.sh"
was=$(sed -n 's/.*UTS_RELEASE "\(.*\)".*/\1/p' "$flavoured/include/generated/utsrelease.h")

tree=
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' INT TERM HUP
tree=$(mktemp -d)
# scripts and tools are links, to another package.
for part in "$common" "$flavoured"; do
  (cd "$part" && tar -chf - --exclude='./arch/*' .) | tar -C "$tree" -xf -
  cp -rL "$part/arch/$srcarch" "$tree/arch"
done
cp "$common/Makefile" "$tree"
for file in .kernelvariables include/config/kernel.release include/generated/utsrelease.h; do
  if [ -e "$tree/$file" ]; then sed -i "s/$was/$release/" "$tree/$file"; fi
done
tar -C "$tree" --sort=name --owner=0 --group=0 -cf "$out" .
