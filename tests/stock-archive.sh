#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/stock-archive.sh FILE
#
# Makes FILE, a headers archive like the one that a kernel built with
# CONFIG_IKHEADERS carries (kernel/gen_kheaders.sh of the kernel sources tells
# what is in it), from the headers package of Debian that is installed.
set -eu

out=$1
case $(dpkg --print-architecture) in
amd64) flavour=amd64 srcarch=x86 ;;
arm64) flavour=arm64 srcarch=arm64 ;;
*) echo "stock-archive.sh: only amd64 and arm64 are known" >&2; exit 1 ;;
esac

# The package comes in two parts: what all flavours of a kernel share, and what
# its configuration made.
flavoured=$(printf '%s\n' /usr/src/linux-headers-[0-9]*-"$flavour" | sort -V | tail -n 1)
common=${flavoured%-"$flavour"}-common
if ! [ -d "$flavoured" ] || ! [ -d "$common" ]; then
  echo "stock-archive.sh: no kernel headers in /usr/src; make deps installs them" >&2
  exit 1
fi

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
for part in "$common" "$flavoured"; do
  (cd "$part" && find include "arch/$srcarch/include" -name '*.h' -print0 |
    tar --null --no-recursion -T - -cf -) | tar -C "$tree" -xf -
done

# Comments go, but for those with a licence identifier.
# shellcheck disable=SC2016 # Perl's variables
find "$tree" -type f -print0 | xargs -0 -r -n 500 \
  perl -0777 -i -pe 's{/\*(.*?)\*/}{index($1, "SPDX") < 0 ? "" : "/*$1*/"}ges'

(cd "$tree" && find . -mindepth 1 -printf './%P\n' | LC_ALL=C sort |
  tar --no-recursion --owner=0 --group=0 --numeric-owner --mode=u=rw,go=r,a+X \
    -I xz -cf - -T -) >"$out.part"
mv "$out.part" "$out"
