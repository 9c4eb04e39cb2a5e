#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/kmod-dkms.sh kernels|failing|missing|weak
#
# Gives the module in MODULE to DKMS, on a machine with the first of the unpacked
# KERNELS and the program EXE. It mounts over directories of the machine, so it needs
# a mount namespace of its own. Where there is no such directory, it makes it, and
# removes it in the end.
set -euo pipefail

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
made=
trap 'for d in $made; do umount -l "$d" && rmdir "$d"; done' EXIT
for d in /lib/modules /var/lib/dkms /usr/src /usr/local/bin; do
  [ -d "$d" ] || { mkdir "$d"; made="$made $d"; }
  mount -t tmpfs none "$d"
done
cp -a /etc/dkms "$MODULE/etc-dkms"
mount --bind "$MODULE/etc-dkms" /etc/dkms
cp "$EXE" /usr/local/bin/kheadersfs
running=$(uname -r)

# boot adds what a kernel's package has, and one module: modules.dep tells DKMS
# whether this kernel's modules are compressed.
boot() { # KERNEL
  release=$(basename "$1")
  modules=/lib/modules/$release
  mkdir -p "$modules/kernel"
  cp -a "$1$modules"/modules.[bo]* "$modules"
  ln -s "$(readlink -f "$1$modules/build")" "$modules/build"
  find "$1$modules" -name 'dummy.ko*' -exec cp {} "$modules/kernel" \;
  depmod "$release"
}
# shellcheck disable=SC2153 # not kernels
read -ra kernels <<<"$KERNELS"
good=$(basename "${kernels[0]}")
boot "${kernels[0]}"

fail() { echo "FAIL: $*" >&2; exit 1; }

# holds and misses look for text in a file.
holds() { grep -qe "$2" "$1" || fail "no $2 in $1: $(cat "$1")"; }
misses() { ! grep -qe "$2" "$1" || fail "$2 in $1: $(cat "$1")"; }

# kernels has a kernel, and then others, which DKMS is told of as a kernel's package
# does, with a PATH of its own.
kernels() {
  installed() { # KERNEL
    release=$(basename "$1")
    compressed=$(find "/lib/modules/$release/kernel" -name 'dummy.ko*' | sed 's/.*\.ko//')
    [ "$(modinfo -k "$release" -F signer kheaders)" = "DKMS module signing key" ] || fail "not signed for $release"
    /usr/local/bin/kheadersfs info --release "$release" >/run/info
    holds /run/info "/$release/updates/dkms/kheaders.ko$compressed$"
  }
  mount -t tmpfs none /run
  make -C "$MODULE" dkms
  installed "${kernels[0]}"
  misses /run/info ^builds
  make -C "$MODULE" dkms KBUILD=1 # over the first
  installed "${kernels[0]}"
  holds /run/info ^builds
  for other in "${kernels[@]:1}"; do
    boot "$other"
    /etc/kernel/postinst.d/dkms "$(basename "$other")"
    installed "$other"
    holds /run/info ^builds
  done
  dkms remove "$(dkms status | sed -n '1s/,.*//p')" --all
  [ -z "$(dkms status)" ] || fail "left: $(dkms status)"
}

# failing has two kernels with headers that nothing can be built with. One is the
# running kernel, unless that is the good one.
failing() {
  broken=0.0.1-broken
  [ "$running" = "$good" ] || broken="$running $broken"
  for release in $broken; do
    mkdir -p "/lib/modules/$release/build/include"
    : >"/lib/modules/$release/build/Makefile"
  done

  if make -C "$MODULE" dkms KBUILD=1 >"$MODULE/log" 2>&1; then fail "status 0: $(cat "$MODULE/log")"; fi
  modinfo -k "$good" -n kheaders || fail "not installed for $good: $(cat "$MODULE/log")"
  reported=$(sed -n 's/^dkms.sh: no module for kernel \(.*\): see .*/\1/p' "$MODULE/log" | xargs)
  [ "$reported" = "$broken" ] || fail "reported '$reported', not '$broken': $(cat "$MODULE/log")"
  for release in $broken; do
    holds "$(sed -n "s/^dkms.sh: no module for kernel $release: see //p" "$MODULE/log")" "for kernel $release"
  done

  # Somebody has deleted the sources first.
  rm -r /usr/src/kheadersfs-*
  make -C "$MODULE" dkms-remove
  left=$(find /usr/src /var/lib/dkms /lib/modules /etc/dkms -name 'kheaders*')
  [ -z "$left" ] || fail "after dkms-remove: $left"
}

# missing has no program that packs, and then no headers of any kernel.
missing() {
  rm -r /lib/modules/* /usr/local/bin/kheadersfs
  if make -C "$MODULE" dkms >"$MODULE/log" 2>&1; then fail "status 0: $(cat "$MODULE/log")"; fi
  holds "$MODULE/log" '^dkms.sh: no program kheadersfs'
  left=$(find /usr/src /var/lib/dkms -name 'kheaders*')
  [ -z "$left" ] || fail "without the program: $left"

  # The second time it has headers without a Makefile, as a kernel carries them.
  cp "$EXE" /usr/local/bin/kheadersfs
  for _ in 1 2; do
    make -C "$MODULE" dkms >"$MODULE/log" 2>&1 || fail "$(cat "$MODULE/log")"
    holds "$MODULE/log" "^dkms.sh: the running kernel has no headers to build modules with in /lib/modules/$running/build$"
    holds "$MODULE/log" "^hint: install linux-headers-$running "
    mkdir -p "/lib/modules/$running/build/include"
  done
}

# weak has the program to which DKMS gives modules for other kernels, where a
# distribution has one. The line in dkms.conf must be what keeps it from being
# called.
weak() {
  sbin=$(readlink -f /sbin)
  mount -t tmpfs none /mnt
  cp -a "$sbin" /mnt/sbin
  printf '#!/bin/sh\necho "$@" >>/mnt/calls\ncat >/dev/null\n' >/mnt/sbin/weak-modules
  chmod 755 /mnt/sbin/weak-modules
  mount --bind /mnt/sbin "$sbin"
  # A newer DKMS calls it where it is known to be only.
  printf 'ID=rhel\nVERSION_ID=9.9\n' >/mnt/os-release
  mount --bind /mnt/os-release "$(readlink -f /etc/os-release)"

  : >/mnt/calls
  cp "$MODULE/dkms.conf" /mnt
  sed -i '/^NO_WEAK_MODULES=/d' "$MODULE/dkms.conf"
  make -C "$MODULE" dkms
  added=$(dkms status | sed 's/,.*//')
  dkms uninstall "$added" -k "$good"
  holds /mnt/calls --add-modules
  holds /mnt/calls --remove-modules

  : >/mnt/calls
  cp /mnt/dkms.conf "/usr/src/${added%/*}-${added#*/}"
  dkms install "$added" -k "$good"
  modinfo -k "$good" -n kheaders || fail "not installed for $good"
  dkms uninstall "$added" -k "$good"
  misses /mnt/calls .
}

case $* in
kernels | failing | missing | weak) "$1" ;;
*) echo "kmod-dkms.sh: usage: tests/kmod-dkms.sh kernels|failing|missing|weak" >&2; exit 2 ;;
esac
