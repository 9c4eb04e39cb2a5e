#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/find.sh TEST
#
# Mounts without a SOURCE, in a mount namespace of its own: EXE is the program,
# $DIR/archive the headers of 1.2.3-test, MNT the mount point.
# shellcheck disable=SC2317 # functions are called by name
set -eu
# shellcheck source=tests/modules.sh
. ./modules.sh
running=$(uname -r)

test_in_kernel() {
  module "$MODULES/kernel/kernel"
  "$EXE" "$MNT" 2>"$DIR/err"
  grep "warning: $MODULES/kernel/kernel/kheaders.ko: headers of 1.2.3-test instead of $running" "$DIR/err"
  [ "$(findmnt -n -o SOURCE "$MNT")" = kheaders ]
}

test_through_modules_dep() {
  module "$MODULES/extra/odd"
  echo 'extra/odd/kheaders.ko:' >"$MODULES/modules.dep"
  "$EXE" kheaders "$MNT"
}

test_packed() {
  module "$MODULES/updates/dkms"
  xz "$MODULES/updates/dkms/kheaders.ko"
  "$EXE" auto "$MNT"
}

test_release() {
  mkdir "$MODULES/../9.9"
  module "$MODULES/../9.9/updates"
  "$EXE" --release 9.9 "$MNT"
}

test_release_option() {
  mkdir "$MODULES/../9.9"
  module "$MODULES/../9.9/updates"
  "$EXE" none "$MNT" -o release=9.9,rw
}

test_root() {
  mkdir -p "$DIR/host/lib"
  ln -s /lib "$DIR/host/usr"
  module "$DIR/host/lib/modules/9.9/updates"
  "$EXE" --root "$DIR/host" --release 9.9 "$MNT"
}

# The kernel was upgraded, and its headers are in the cache only.
test_cache() {
  mkdir "$DIR/cache"
  "$EXE" --cache-dir "$DIR/cache" "$DIR/archive" "$MNT"
  umount "$MNT"
  while ! ls "$DIR/cache"/*.zst; do sleep 0.1; done
  "$EXE" --cache-dir "$DIR/cache" --release 1.2.3-test "$MNT" 2>"$DIR/err"
  grep "warning: kernel 1.2.3-test has no headers archive any more: mounting the cache file of it, $DIR/cache/" "$DIR/err"
}

test_upgraded() {
  mkdir -p "$DIR/host/lib/modules/9.9"
  if "$EXE" --root "$DIR/host" "$MNT" 2>"$DIR/err"; then exit 1; fi
  grep "hint: kernel $running runs, and only 9.9 is installed: it was upgraded; reboot" "$DIR/err"
  "$EXE" "$DIR/archive" "$MNT"
}

test_strict() {
  mkdir "$MODULES/../1.2.3-test"
  module "$MODULES/../1.2.3-test/updates"
  cp -r "$MODULES/../1.2.3-test/updates" "$MODULES"
  if "$EXE" --strict "$MNT" 2>"$DIR/err"; then exit 1; fi
  grep "headers of 1.2.3-test instead of" "$DIR/err"
  "$EXE" --strict --release 1.2.3-test "$MNT" 2>"$DIR/err"
  [ ! -s "$DIR/err" ]
}

"test_$1"
cat "$MNT/include/linux/kconfig.h"
umount "$MNT"
