#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/dkms-packages.sh PACKAGE...
#
# Has DKMS build Debian's packages of modules, those of them that can be built, in SYSTEM, a
# Debian release that stays as it is: first with the kernel's package of headers, into
# DIR/package, then with nothing but a mount of what was packed from that, into DIR/mount. EXE
# is the program. SystemTap compiles a script both ways. It needs a mount namespace of its own.
set -euo pipefail
root=$DIR/root
mkdir "$root" "$DIR/changed"
mount -t tmpfs none "$DIR/changed" # some filesystems can't be an overlay's upper layer
mkdir "$DIR/changed/upper" "$DIR/changed/work"
mount -t overlay -o "lowerdir=$SYSTEM,upperdir=$DIR/changed/upper,workdir=$DIR/changed/work" none "$root"
trap 'umount -l "$root"' EXIT
mount -t proc none "$root/proc"
mount --rbind /dev "$root/dev"
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/fast"
sed -i 's/ main$/ main contrib/' "$root/etc/apt/sources.list"

system() {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@" </dev/null
}
apt() { system apt-get -q -y --no-install-recommends "$@"; }
fail() { echo "FAIL: $*" >&2; exit 1; }

# built copies what DKMS has built for the kernel.
built() { # DIRECTORY
  for dir in "$root"/var/lib/dkms/*/*/"$release"/*/module; do
    module=$(basename "$(dirname "$(dirname "$(dirname "$(dirname "$dir")")")")")
    mkdir -p "$DIR/$1/$module"
    cp "$dir"/* "$DIR/$1/$module"
  done
  find "$DIR/$1" -name '*.xz' -exec xz -d {} +
}

apt update
there=
for package; do
  if system apt-cache show "$package" >/dev/null 2>&1; then there="$there $package"; fi
done
apt install linux-headers-cloud-amd64 dkms systemtap xz-utils
release=$(basename "$(dirname "$(ls -d "$root"/lib/modules/*/build)")")
for package in $there; do
  apt install "$package" || {
    echo "without $package, which does not build with the package of headers"
    apt purge "$package"
  }
done
built package
script() { system stap --disable-cache -p4 -r "$release" -e 'probe begin { println("hello") exit() }'; } # of SystemTap
script || fail "stap does not compile a script with the package of headers"

cp "$EXE" "$root/usr/bin/kheadersfs"
system kheadersfs pack --kbuild -o /kbuild.tar.xz "/lib/modules/$release/build"
apt purge 'linux-headers-*' 'linux-kbuild-*' linux-compiler-gcc-12-x86
[ -z "$(ls -d "$root"/usr/src/linux-* "$root"/usr/lib/linux-kbuild* 2>/dev/null)" ] || fail "headers are left"
[ -z "$(ls -d "$root"/var/lib/dkms/*/*/"$release" 2>/dev/null)" ] || fail "modules are left"
mkdir -p "$root/usr/src/kheaders" "$root/lib/modules/$release"
system kheadersfs --strict --release "$release" /kbuild.tar.xz /usr/src/kheaders
ln -s /usr/src/kheaders/include/.. "$root/lib/modules/$release/build"
system /etc/kernel/postinst.d/dkms "$release" || fail "$(tail -n 30 "$root"/var/lib/dkms/*/*/build/make.log)"
built mount
script || fail "stap does not compile a script"
umount "$root/usr/src/kheaders"
