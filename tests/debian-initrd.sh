#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/debian-initrd.sh KERNEL MODULE PROGRAM SCRIPT DIR FILE PACKAGE...
#
# Makes FILE, the initramfs of a virtual machine that runs SCRIPT by busybox, as a service if
# systemd is among the packages, and else as the first process. In it are Debian's packages,
# what make install installs, PROGRAM, and the module built in MODULE for KERNEL, a directory
# made by kernel.sh. The packages are kept in DIR; nothing of them is installed here.
set -eu

kernel=$1 module=$2 program=$3 script=$4 packages=$5 out=$6
shift 6
here=$(dirname "$0")
release=$(basename "$kernel")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
exec 9<"$here" # one at a time
flock 9

if ! [ -d "$packages" ]; then
  echo "downloading $*" >&2
  rm -rf "$packages.part"
  mkdir -p "$packages.part/partial"
  # As if nothing were installed, so that all that they depend on comes with them.
  apt-get -qq -o Dir::State::status=/dev/null -o Dir::Cache::archives="$(realpath "$packages.part")" \
    -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o APT::Install-Recommends=false -y --download-only \
    install busybox-static kmod mount "$@" >&2
  mv "$packages.part" "$packages"
fi
for dir in bin sbin lib lib64; do
  mkdir -p "$root/usr/$dir"
  ln -s "usr/$dir" "$root/$dir"
done
for deb in "$packages"/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root"
done
[ -e "$root/bin/sh" ] || ln -s busybox "$root/bin/sh"
rm -rf "$root/usr/share/doc" "$root/usr/share/locale" "$root/usr/share/man" "$root/usr/lib/udev"

make -C "$here/.." install DESTDIR="$root" PREFIX=/usr SBINDIR=/usr/sbin >&2
cp "$program" "$root/usr/bin/kheadersfs"
cp "$script" "$root/guest.sh"
cp "$here/steps.sh" "$root"

modules=$root/usr/lib/modules/$release
mkdir -p "$modules/kernel/fs"
cp "$kernel/lib/modules/$release"/modules.[bo]* "$modules"
for name in fuse autofs autofs4; do # built in, or modules, in some kernels
  if [ -d "$kernel/lib/modules/$release/kernel/fs/$name" ]; then
    cp -r "$kernel/lib/modules/$release/kernel/fs/$name" "$modules/kernel/fs"
  fi
done
make -C "$module" install KDIR="$kernel/usr/src/linux-headers-$release" KHEADERSFS=/bin/true INSTALL_MOD_PATH="$root" MOK_KEY= >&2

mkdir -p "$root/etc/systemd/system" "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp" "$root/var/log" "$root/root"
if [ -e "$root/usr/lib/systemd/systemd" ]; then
  ln -s usr/lib/systemd/systemd "$root/init"
  # Without udev nobody sees the terminal come.
  rm "$root/usr/lib/systemd/system-generators/systemd-getty-generator"
  : >"$root/etc/machine-id"
  cat >"$root/etc/systemd/system/guest.service" <<UNIT
[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/busybox sh /guest.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
UNIT
  cat >"$root/etc/systemd/system/guest.target" <<UNIT
[Unit]
Requires=multi-user.target guest.service
UNIT
else
  ln -s guest.sh "$root/init"
fi

(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$out"
