#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/warm.sh
#
# Does the same with a mount of ARCHIVE on MNT until a pass needs no request, at most
# nine times, and has all requests of the kernel logged in $DIR/log, with a line at the
# end of each pass. It needs a mount namespace of its own.
set -eu

"$EXE" -f --debug "$ARCHIVE" "$MNT" 2>>"$DIR/log" &
until mountpoint -q "$MNT"; do kill -0 $! && sleep 0.05; done

for i in 0 1 2 3 4 5 6 7 8; do
  before=$(wc -l <"$DIR/log")
  find "$MNT" -ls >/dev/null
  find "$MNT" -name absent.h
  grep -r nothing-that-is-there "$MNT" || :
  ls -lR "$MNT" >/dev/null
  ./compile.sh "$MNT" "$DIR/prog.c" "$DIR/prog.o"
  readlink "$MNT/include/dt-bindings/input/linux-event-codes.h"
  sleep 0.2
  requests=$(tail -n +$((before + 1)) "$DIR/log" | grep ': rx ' | grep -cvE ': (STATFS|LISTXATTR|FORGET|BATCH_FORGET) ' || :)
  echo "end of pass $i" >>"$DIR/log"
  [ "$requests" != 0 ] || break
done
umount "$MNT"
wait
