#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/withoutproc.sh
#
# Starts the program several times where there is no /proc, in a mount namespace of its
# own, and prints what it says and how often MNT is mounted.
set -eu

mkdir "$DIR/proc"
mount -t proc none "$DIR/proc"
umount -l /proc
with_proc() {
  mount -n --bind "$DIR/proc" /proc
  status=0
  "$@" || status=$?
  umount -n -i -l /proc
  return $status
}
mounts() { grep -c " $1 fuse.kheadersfs " "$DIR/proc/self/mounts" || :; }

for _ in 1 2 3; do "$EXE" "$ARCHIVE" "$MNT" || echo "status $?"; done
mounts "$MNT"
until with_proc pkill -KILL -f "kheadersfs --hold $MNT"; do sleep 0.05; done
with_proc pkill -KILL -f "ready-fd=.*$MNT"
while stat -f "$MNT" >/dev/null 2>&1; do sleep 0.05; done
"$EXE" "$ARCHIVE" "$MNT" || echo "status $?"
mounts "$MNT"
with_proc "$EXE" "$ARCHIVE" "$MNT"
mounts "$MNT"
umount -n -i "$MNT"
