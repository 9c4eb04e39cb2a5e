#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/syslog.sh
#
# Stops the server of MNT while a file below it is open. The log's socket is $DIR/log.
# It needs a mount namespace of its own.
set -eu

mount -t tmpfs none /dev
mknod -m 666 /dev/fuse c 10 229
mknod -m 666 /dev/null c 1 3
ln -s "$DIR/log" /dev/log
"$EXE" "$ARCHIVE" "$MNT"
exec 9<"$MNT/include/big.h"
pkill -f "kheadersfs --ready-fd=.*$MNT"
# The server says it while the file is open.
until [ -e "$DIR/read" ]; do sleep 0.05; done
