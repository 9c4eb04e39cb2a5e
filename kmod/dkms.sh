#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: [KBUILD=1] kmod/dkms.sh install|remove|copy
#
# install gives the module to DKMS, which builds it for each kernel to come, and
# has it built for each installed kernel that has headers, the running one first.
# A kernel for which that fails does not keep the others from theirs. remove
# takes the module and its sources away again, as install does with an earlier
# version; where this is run in /usr/src itself, as by a package, the sources stay.
# With KBUILD=1, or btf, the module is to hold what Kbuild says, from now on.
# copy only puts the sources where DKMS looks for them, below DESTDIR.
set -eu
cd "$(dirname "$0")"

version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
sources=/usr/src/kheadersfs-$version
settings=/etc/dkms/kheadersfs.conf # which DKMS reads after dkms.conf
running=$(uname -r)

copy_sources() { # [DESTDIR]
  if [ "$PWD" != "$sources" ]; then
    install -D -m 0644 -t "${1-}$sources" COPYING Kbuild dkms.conf dkms.sh kheaders.c
  fi
}

# remove needs the sources too: without them DKMS cannot name the module.
remove() {
  copy_sources
  for v in $(dkms status | sed -n 's|^kheadersfs[/,] *\([^,:]*\).*|\1|p' | sort -u); do
    dkms remove "kheadersfs/$v" --all
    [ "$PWD" = "$sources" ] || rm -rf "/usr/src/kheadersfs-$v"
  done
  [ "$PWD" = "$sources" ] || rm -rf "$sources"
}

# has_headers says whether modules can be built for a kernel. In headers that a kernel carries
# they can't.
has_headers() { [ -f "/lib/modules/$1/build/Makefile" ]; }

# kernels prints the releases that have headers, the running one first.
kernels() {
  for dir in "/lib/modules/$running" /lib/modules/*; do
    if has_headers "${dir##*/}"; then echo "${dir##*/}"; fi
  done | awk '!seen[$0]++'
}

case $* in
install) ;;
remove)
  remove
  [ "$PWD" = "$sources" ] || rm -f "$settings" # a package has its own
  exit
  ;;
copy) copy_sources "${DESTDIR-}"; exit ;;
*) echo "dkms.sh: usage: kmod/dkms.sh install|remove|copy" >&2; exit 2 ;;
esac

# Kbuild looks for it in the same places.
if ! (PATH="$PATH:/usr/local/bin"; command -v kheadersfs >/dev/null); then
  echo "dkms.sh: no program kheadersfs, which DKMS runs at each build" >&2
  echo "hint: make install" >&2
  exit 1
fi

remove
copy_sources
case ${KBUILD-} in
1 | btf)
  install -d -m 0755 "${settings%/*}"
  echo "MAKE[0]+=\" KBUILD=$KBUILD\"" >"$settings"
  ;;
esac
dkms add "kheadersfs/$version"

tree=/var/lib/dkms/kheadersfs/$version
failed=
for release in $(kernels); do
  status=0
  dkms install "kheadersfs/$version" -k "$release" || status=$?
  # 77: dkms.conf excludes this kernel, which has headers of its own.
  if [ "$status" != 0 ] && [ "$status" != 77 ]; then
    failed="$failed $release"
    # The next build would delete it.
    mv "$tree/build/make.log" "$tree/$release.log" 2>/dev/null || true
  fi
done

if ! has_headers "$running"; then
  echo "dkms.sh: the running kernel has no headers to build modules with in /lib/modules/$running/build" >&2
  echo "hint: install linux-headers-$running (Debian) or the like, and DKMS builds the module" >&2
fi
for release in $failed; do
  log=$tree/$release.log
  [ -f "$log" ] || log="what dkms said above"
  echo "dkms.sh: no module for kernel $release: see $log" >&2
done
[ -z "$failed" ]
