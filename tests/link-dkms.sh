#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/link-dkms.sh TEST
#
# Mounts headers of the running kernel on MNT, with a link to them, and then installs and
# removes PACKAGE, a module that DKMS builds, and another kernel, which has the headers
# HEADERS. LEAN is an archive of headers only, and FULL one that modules can be built with. It
# needs a mount namespace of its own, in which what packages change is laid over the machine.
# shellcheck disable=SC2317 # functions are called by name
set -eu
mount -t tmpfs none /mnt
for d in /usr /var /etc; do
  mkdir -p "/mnt/$d/upper" "/mnt/$d/work"
  mount -t overlay -o "lowerdir=$d,upperdir=/mnt$d/upper,workdir=/mnt$d/work" none "$d"
done
# shellcheck source=tests/mount8.sh
. ./mount8.sh
# shellcheck source=tests/linked.sh
. ./linked.sh
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
running=$(uname -r)
name=$(dpkg-deb -f "$PACKAGE" Package)
other=$(basename "$HEADERS" | sed 's/^linux-headers-//')
mkdir -p "/lib/modules/$other/kernel"
ln -s "$HEADERS" "/lib/modules/$other/build"

# A kernel's package runs these hooks.
added() { /etc/kernel/postinst.d/dkms "$1"; }
removed() { /etc/kernel/prerm.d/dkms "$1"; }
built() { ls "/lib/modules/$1/updates/dkms/"*.ko*; }

# The package and the other kernel come and go, in the order of apt, which unpacks first.
come_and_go() {
  dpkg --unpack "$PACKAGE"
  unpacked
  dpkg --configure "$name"
  configured
  added "$other"
  built "$other"
  added "$running"
  configured
  removed "$other"
  fails built "$other"
  removed "$running"
  dpkg --purge "$name"
  fails ls /usr/src/*/dkms.conf
  added "$other"
  added "$running"
}

# Without a link the running kernel has no headers.
test_without() {
  unpacked() { :; }
  configured() { fails built "$running"; }
  come_and_go
}

# A lean tree's link goes before DKMS looks.
test_lean() {
  unpacked() { while [ -L "$build" ]; do sleep 0.05; done; }
  configured() {
    fails built "$running"
    fails ls "$build"
  }
  "$EXE" --link "$LEAN" "$MNT"
  added "$other"
  added "$running"
  is_linked "$MNT"
  come_and_go
  end
}

# In a full tree the module is built.
test_full() {
  unpacked() { :; }
  configured() { is "$(built "$running")" "$(echo "$modules"/updates/dkms/*.ko*)"; }
  "$EXE" --link "$FULL" "$MNT"
  added "$running"
  come_and_go
  is_linked "$MNT"
  end
}

# Where there is a module already, no link is made unless it is forced. Then DKMS fails.
test_forced() {
  dpkg -i "$PACKAGE"
  status 0 "$EXE" --link "$LEAN" "$MNT"
  grep "warning: no link $build: DKMS has modules to build" "$DIR/err"
  added "$running"
  "$EXE" link --force "$MNT"
  status 11 dkms autoinstall --kernelver "$running"
  "$EXE" unlink "$MNT"
  added "$running"
  end
}

"test_$1"
