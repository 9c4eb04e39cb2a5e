# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For scripts that install packages below DIR/root, to be sourced in a mount namespace of
# its own. FIRST and SECOND are directories with two versions of them; ARCHIVE is mounted,
# which has the files of TREE.
#
# A script says how in two functions: manage install DIRECTORY|remove|purge asks the package
# manager, and start mounts ARCHIVE on /usr/src/kheaders below root. The program runs inside
# that directory, and is given the mount point as place.

root=$DIR/root
mnt=$root/usr/src/kheaders
cache=$root/var/cache/kheadersfs

fail() { echo "FAIL: $*" >&2; exit 1; }
is() { [ "$1" = "$2" ] || fail "$1 instead of $2"; }

# ours prints the processes of the program that have such arguments for our mount point:
# the mount point of the machine, or of another chroot, may have the same name.
# shellcheck disable=SC2154 # place and inside, of the script
ours() { # ARGUMENTS
  for pid in $(pgrep -f "kheadersfs $1 $place( |\$)"); do
    if [ "$(readlink "/proc/$pid/root")" = "$inside" ]; then echo "$pid"; fi
  done
}
server() { ours '--(ready-fd|resume)=.*'; }
# gone waits for the end of a process, which may be left as a zombie.
gone() { while readlink "/proc/$1/exe" >/dev/null; do sleep 0.05; done; }

# kill_server leaves a dead mount.
kill_server() {
  holder=
  until [ -n "$holder" ]; do holder=$(ours --hold); done
  for pid in $holder $(server); do
    kill -KILL "$pid"
    gone "$pid"
  done
  while stat -f "$mnt" >/dev/null 2>&1; do sleep 0.05; done
}
version() { "$root/usr/bin/kheadersfs" --version | cut -d ' ' -f 2; }

# life upgrades below a mount, live and dead, and removes below one.
# shellcheck disable=SC2153 # not first
life() {
  is "$(version)" "$(cat "$FIRST/version")"
  is "$(stat -c '%U %a' "$mnt")" "root 755"
  start
  first=$(server)
  cat "$mnt/include/empty.h"

  manage install "$SECOND"
  is "$(version)" "$(cat "$SECOND/version")"
  is "$(server)" "$first"
  program=$(stat -c %i "$root/usr/bin/kheadersfs")
  if [ "$inside" != / ]; then is "$(stat -L -c %i "/proc/$first/exe")" "$program"; fi # scripts see the mount
  cmp "$mnt/include/big.h" "$TREE/include/big.h"
  umount "$mnt"
  gone "$first"

  start
  kill_server
  manage install "$FIRST"
  is "$(version)" "$(cat "$FIRST/version")"
  start # in place of the dead one
  cmp "$mnt/include/big.h" "$TREE/include/big.h"

  second=$(server)
  manage remove
  [ ! -e "$root/usr/bin/kheadersfs" ] || fail "not removed"
  is "$(server)" "$second"
  cmp "$mnt/include/linux/types.h" "$TREE/include/linux/types.h"
  umount "$mnt"
  gone "$second"
}

# purged has no file of ours left, and no file of others missing.
neighbour=$root/var/cache/neighbour
mkdir -p "$neighbour"
echo mine >"$neighbour/kheaders"
purged() {
  [ ! -e "$cache" ] || fail "the cache is left"
  left=$(find "$root" -xdev ! -type d -name '*kheaders*' ! -path "$neighbour/*" ! -path "$root/packages/*")
  is "$left" ""
  is "$(cat "$neighbour/kheaders")" mine
}
