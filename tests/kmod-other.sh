#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/kmod-other.sh KERNEL MODULE FILE
#
# Makes FILE, the initramfs of a virtual machine that loads a module which holds
# the headers of another kernel: that of MODULE, where the archive is packed
# already, built for a release that has the same symbols as KERNEL, a directory
# made by kernel.sh.
set -eu

kernel=$1 module=$2 out=$3
release=$(basename "$kernel")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

cp -as "$kernel/usr/src/linux-headers-$release" "$root/headers"
rm "$root/headers/include/generated/utsrelease.h"
echo '#define UTS_RELEASE "1.2.3-other"' >"$root/headers/include/generated/utsrelease.h"
make -C "$module" KDIR="$root/headers" KHEADERSFS=/bin/true

mkdir -p "$root/initrd/bin"
cp "$(command -v busybox)" "$root/initrd/bin"
cp "$module/kheaders.ko" "$root/initrd"
cat >"$root/initrd/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox insmod /kheaders.ko
/bin/busybox dmesg | /bin/busybox grep kheaders
/bin/busybox poweroff -f
EOF
chmod +x "$root/initrd/init"
(cd "$root/initrd" && find . | cpio -o -H newc -R 0:0 --quiet) >"$out"
