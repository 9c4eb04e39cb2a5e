#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/headers.sh DIR
#
# Prints the directory linux-headers-R of the headers of Debian's default kernel:
# unpacked below DIR from the packages that apt has, or else the newest that are
# installed, of any flavour. They come in two parts, what all flavours of a
# kernel share and what a configuration made; this one is the second, and the
# include line of its Makefile names the first.
set -eu

arch=$(dpkg --print-architecture)

# installed lists the packages of this architecture, the newest version first, and
# the default flavour first in each.
installed() {
  # shellcheck disable=SC2016 # fields of dpkg-query
  dpkg-query -W -f '${db:Status-Status} ${Architecture} ${Version} ${Package}\n' 'linux-headers-[0-9]*' 2>/dev/null |
    sed -n "s/^installed $arch //p" | sort -k 1,1Vr -k 2,2V | cut -d ' ' -f 2
}

if tree=$("$(dirname "$0")/kernel.sh" headers "$arch" "$1"); then
  headers=$tree/usr/src/linux-headers-$(basename "$tree")
else
  looked=
  for package in $(installed); do
    headers=${DPKG_ROOT:-}/usr/src/$package
    common=$(sed -n 's,^include \(.*\)/Makefile$,\1,p' "$headers/Makefile" 2>/dev/null || true)
    if [ -n "$common" ] && [ -d "$common/include" ]; then break; fi
    looked="$looked $headers" headers=
  done
  if [ -z "${headers:-}" ]; then
    echo "headers.sh: no kernel headers: apt has no linux-headers-$arch, and none that are installed are whole; looked at:${looked:- nothing}" >&2
    echo "hint: apt-get install linux-headers-$arch" >&2
    exit 1
  fi
fi
echo "kernel headers: $headers" >&2
echo "$headers"
