#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/readme-modules.sh
#
# Does what README says on building modules, COMMANDS line by line, in a mount namespace of
# its own. HEADERS are the running kernel's, as a package has installed them; after the first
# command the package is removed. EXE is the program, DIR a directory with a module's
# sources.
set -euo pipefail

made=
trap 'cd /; for d in $made; do umount -l "$d" && rmdir "$d"; done' EXIT
for d in /lib/modules /usr/src /usr/local/bin; do
  [ -d "$d" ] || { mkdir "$d"; made="$made $d"; }
  mount -t tmpfs none "$d"
done
export PATH=/usr/local/bin:$PATH
cp "$EXE" /usr/local/bin/kheadersfs
printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo
chmod 755 /usr/local/bin/sudo
mkdir -p "/lib/modules/$(uname -r)" /usr/src/kheaders
ln -s "$HEADERS" "/lib/modules/$(uname -r)/build"

cd "$DIR"
first=true
while read -r command; do
  sh -euc "$command" </dev/null
  if $first; then
    rm "/lib/modules/$(uname -r)/build"
    mount -t tmpfs none "${HEADERS%/src/*}"
    first=false
  fi
done <<<"$COMMANDS"
umount /usr/src/kheaders
