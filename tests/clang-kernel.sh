#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/clang-kernel.sh SOURCE BUILD OPTION
#
# Prepares BUILD, a directory that modules can be built with, for the smallest
# kernel with modules that clang and lld build, with a further option of its
# configuration, such as LTO_CLANG_THIN. SOURCE is where the newest sources that
# apt has are unpacked; what is there already is taken.
set -eu

source=$1 build=$2 option=$3

if ! [ -d "$source" ]; then
  part=$source.part
  rm -rf "$part"
  mkdir -p "$part/tree"
  package=$(apt-cache search --names-only '^linux-source-[0-9.]+$' | cut -d ' ' -f 1 | sort -V | tail -n 1)
  if [ -z "$package" ] || ! (cd "$part" && apt-get download -q "$package" >&2); then
    echo "clang-kernel.sh: apt has no linux-source" >&2
    exit 1
  fi
  # Modules need a quarter of it.
  dpkg-deb --fsys-tarfile "$part"/*.deb | tar -xO "./usr/src/$package.tar.xz" | tar -C "$part/tree" -xJf - --strip-components=1 \
    --exclude '*/drivers/*.[chS]' --exclude '*/sound/*.[ch]' --exclude '*.rst' --exclude '*.yaml' --exclude '*.dts*'
  mv "$part/tree" "$source"
  rm -r "$part"
fi

kernel() { make -s -C "$source" O="$build" LLVM=1 "$@" >&2; }

mkdir -p "$build"
printf 'CONFIG_%s=y\n' 64BIT MODULES SYSFS "$option" >"$build/fragment"
kernel tinyconfig
"$source/scripts/kconfig/merge_config.sh" -m -O "$build" "$build/.config" "$build/fragment" >&2
kernel olddefconfig
grep -q "^CONFIG_$option=y" "$build/.config" || { echo "clang-kernel.sh: the kernel cannot have $option" >&2; exit 1; }
kernel modules_prepare
