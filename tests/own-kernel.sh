#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/own-kernel.sh SUITE y|m DIR
#
# Builds a small kernel that carries its own headers, built in (y) or as a compressed and
# signed module (m), from the newest sources of a Debian release, such as bookworm, below DIR.
# Prints the directory of the build: bzImage is there in arch/x86/boot, modules in
# root/lib/modules/R, the archive in kernel/. What is there already is taken.
set -eu

suite=$1 how=$2
mkdir -p "$3/$1"
dir=$(realpath "$3")/$suite
source=$dir/source build=$dir/$how

if ! [ -d "$source" ]; then
  # shellcheck disable=SC2016 # a field of apt
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$dir/sources.list"
  mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
  options="-o Dir::Etc::sourcelist=$dir/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$dir/lists
    -o Dir::Cache=$dir/cache -o APT::Sandbox::User=root"
  # shellcheck disable=SC2086 # words
  if ! apt-get $options -q update >&2; then
    echo "own-kernel.sh: apt has no $suite" >&2
    exit 1
  fi
  # shellcheck disable=SC2086
  package=$(apt-cache $options search --names-only '^linux-source-[0-9.]+$' | cut -d ' ' -f 1 | sort -V | tail -n 1)
  # shellcheck disable=SC2086
  (cd "$dir" && apt-get $options download -q "$package" >&2)
  rm -rf "$source.part"
  mkdir "$source.part"
  dpkg-deb --fsys-tarfile "$dir/$package"_*.deb | tar -xO "./usr/src/$package.tar.xz" |
    tar -C "$source.part" -xJf - --strip-components=1 --exclude '*/Documentation/*/*' --exclude '*/sound/*.c'
  mv "$source.part" "$source"
  rm -r "$dir"/*.deb "$dir/lists" "$dir/cache"
fi

kernel() { make -s -C "$source" O="$build" -j"$(nproc)" "$@" >&2; }

mkdir -p "$build"
kernel tinyconfig
# What Go, FUSE, a console and modules need.
{
  for option in 64BIT PRINTK TTY SERIAL_8250 SERIAL_8250_CONSOLE BLK_DEV_INITRD BINFMT_ELF BINFMT_SCRIPT PROC_FS SYSFS TMPFS DEVTMPFS \
    SHMEM FUSE_FS MODULES MODULE_UNLOAD FUTEX EPOLL SIGNALFD EVENTFD TIMERFD POSIX_TIMERS HIGH_RES_TIMERS MULTIUSER NET UNIX \
    INOTIFY_USER MEMFD_CREATE FILE_LOCKING ADVISE_SYSCALLS MEMBARRIER PROC_SYSCTL KALLSYMS; do
    echo "CONFIG_$option=y"
  done
  echo 'CONFIG_LOCALVERSION="-own"'
  echo "CONFIG_IKHEADERS=$how"
  if [ "$how" = m ]; then
    for option in MODULE_SIG MODULE_SIG_ALL MODULE_SIG_SHA256 MODULE_COMPRESS MODULE_COMPRESS_XZ MODULE_COMPRESS_ALL; do echo "CONFIG_$option=y"; done
  fi
} >"$build/fragment"
"$source/scripts/kconfig/merge_config.sh" -m -O "$build" "$build/.config" "$build/fragment" >&2
kernel olddefconfig
grep -q "^CONFIG_IKHEADERS=$how" "$build/.config" || { echo "own-kernel.sh: the kernel can't have IKHEADERS=$how" >&2; exit 1; }
kernel
kernel modules_install INSTALL_MOD_PATH="$build/root" INSTALL_MOD_STRIP=1
rm -f "$build"/root/lib/modules/*/build "$build"/root/lib/modules/*/source
echo "$build"
