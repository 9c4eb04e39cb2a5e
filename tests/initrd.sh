#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/initrd.sh KERNEL MODULE PROGRAM ARCHIVE MODULES FILE
#
# Makes FILE, the initramfs of a virtual machine that runs guest.sh, for KERNEL,
# a directory made by kernel.sh, with the module built in MODULE, a second one that
# holds ARCHIVE, and what has been built in MODULES with that. MODULE is changed.
set -eu

kernel=$1 module=$2 program=$3 archive=$4 external=$5 out=$6
release=$(basename "$kernel")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
modules=$root/lib/modules/$release
headers=$kernel/usr/src/linux-headers-$release

mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/other" "$root/usr/src/kheaders" "$modules"
cp "$(dirname "$0")/guest.sh" "$root/init"
cp "$(dirname "$0")/steps.sh" "$root"
cp "$(command -v busybox)" "$program" "$root/bin"
ln -s busybox "$root/bin/sh"
cp "$module/kheaders_data.tar.xz" "$root/archive"

# FUSE is a module in some kernels.
cp "$kernel/lib/modules/$release"/modules.[bo]* "$modules"
for fuse in "$kernel/lib/modules/$release"/kernel/fs/fuse/fuse.ko*; do
  if [ -f "$fuse" ]; then install -D -t "$modules/kernel/fs/fuse" "$fuse"; fi
done

# The archive is packed already.
build() { make -C "$module" KDIR="$headers" KHEADERSFS=/bin/true "$@"; }
build install INSTALL_MOD_PATH="$root" MOK_KEY=

# The same module under another name.
cp "$module/kheaders.c" "$module/kheaders2.c"
sed -i 's/kheaders\.o/kheaders2.o/' "$module/Kbuild"
build
cp "$module/kheaders2.ko" "$root"

# The other archive, in the other kind of file than this kernel's modules are.
sed -i 's/kheaders2\.o/kheaders.o/' "$module/Kbuild"
cp "$archive" "$module/kheaders_data.tar.xz"
build
if [ -f "$modules/updates/kheaders.ko" ]; then
  xz --check=crc32 -c "$module/kheaders.ko" >"$root/other/kheaders.ko.xz"
else
  cp "$module/kheaders.ko" "$root/other"
fi
mkdir "$root/external"
cp "$external"/*/*.ko "$root/external"

(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$out"
