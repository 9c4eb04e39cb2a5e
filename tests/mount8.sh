# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For scripts that use mount(8), to be sourced in a mount namespace of its own: the
# program EXE lies where mount finds it, FSTAB is in /etc/fstab, and /dev/fuse is open
# to everybody, as udev leaves it. fusermount3 needs /etc/mtab, which a machine that
# has never been booted may lack. DIR is a scratch directory, MNT the mount point.

mount -t tmpfs none /usr/local/sbin
cp "$EXE" /usr/local/sbin/kheadersfs
left=
remove() { for f in $left; do umount "$f" 2>/dev/null || :; rm -d "$f"; done; }
trap remove EXIT
[ -e /etc/fstab ] || { touch /etc/fstab; left=/etc/fstab; }
[ -e /etc/mtab ] || { ln -s /proc/self/mounts /etc/mtab; left="$left /etc/mtab"; }
printf '%s\n' "${FSTAB-}" >"$DIR/fstab"
mount --bind "$DIR/fstab" /etc/fstab
mknod -m 666 "$DIR/fuse" c 10 229
mount --bind "$DIR/fuse" /dev/fuse

# with_helpers has /sbin lead to the program, for mount(8) and busybox, and to nothing of
# fuse3.
with_helpers() {
  sbin=$(readlink -f /sbin)
  mkdir "$DIR/sbin" "$DIR/sbin.orig"
  mount --bind "$sbin" "$DIR/sbin.orig"
  mount -t tmpfs none "$DIR/sbin"
  ln -s "$DIR/sbin.orig"/* "$DIR/sbin"
  rm "$DIR/sbin"/mount.fuse*
  for name in mount.kheadersfs mount.fuse.kheadersfs; do ln -s /usr/local/sbin/kheadersfs "$DIR/sbin/$name"; done
  mount --bind "$DIR/sbin" "$sbin"
}

as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; }
is() { [ "$1" = "$2" ] || { echo "$1 instead of $2"; exit 1; }; }
# status runs a command, whose errors go to $DIR/err.
status() { # STATUS COMMAND...
  want=$1 got=0
  shift
  "$@" 2>"$DIR/err" || got=$?
  [ "$got" = "$want" ] || { echo "status $got, not $want: $*"; cat "$DIR/err"; exit 1; }
}
fails() { if "$@"; then echo "succeeds: $*"; exit 1; fi; }
shown() { findmnt -n -r -o "$1" "$MNT"; }
# server is the process that serves the mount point.
server() { pgrep -f "^kheadersfs --(ready-fd|resume)=.* $MNT( |\$)"; }
# kill_server leaves a dead mount: first the process goes that would start another server.
kill_server() {
  until pkill -KILL -f "^kheadersfs --hold $MNT\$"; do sleep 0.05; done
  kill -KILL "$(server)"
  gone
}
gone() { while server >/dev/null; do sleep 0.05; done; }
