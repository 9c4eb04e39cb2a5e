#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/stock-archive.sh FILE
#
# Makes FILE, a headers archive like the one that a kernel built with
# CONFIG_IKHEADERS carries (kernel/gen_kheaders.sh of the kernel sources tells
# what is in it), from the headers that headers.sh finds.
set -eu

out=$1
# shellcheck source=tests/parts.sh
. "$(dirname "$0")/parts.sh"

tree=
trap 'rm -rf "$tree" "$out.part"' EXIT
trap 'exit 1' INT TERM HUP
tree=$(mktemp -d)
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
