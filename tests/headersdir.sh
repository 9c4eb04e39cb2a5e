#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/headersdir.sh TEST
#
# Asks for the environment of a mount of ARCHIVE without naming it, in a mount namespace of
# its own, in which no other one of ours is.
# shellcheck disable=SC2317 # functions are called by name
set -eu
# shellcheck source=tests/mount8.sh
. ./mount8.sh
awk '$3 == "fuse.kheadersfs" { print $2 }' /proc/mounts | while read -r dir; do umount -l "$dir"; done

chosen() { "$EXE" env | sed -n 's/^export BCC_KERNEL_SOURCE=//p'; }

test_none() {
  fails "$EXE" env 2>"$DIR/err"
  is "$(cat "$DIR/err")" "kheadersfs: no headers are mounted
hint: kheadersfs /usr/src/kheaders, or name a directory"
}

test_only() {
  "$EXE" "$ARCHIVE" "$MNT"
  is "$(chosen)" "'$MNT'"
  umount "$MNT"
}

test_several() {
  mkdir "$DIR/other"
  "$EXE" "$ARCHIVE" "$MNT"
  "$EXE" "$ARCHIVE" "$DIR/other"
  fails "$EXE" env 2>"$DIR/err"
  grep "DIR is missing: 2 mounts" "$DIR/err"
  grep "hint: $MNT, $DIR/other" "$DIR/err"
  is "$(cd "$DIR/other" && "$EXE" env . | tail -n 1)" "export BPFTRACE_KERNEL_BUILD='$DIR/other'"
  mount -t tmpfs -o mode=755 none /usr/src
  mkdir /usr/src/kheaders
  "$EXE" "$ARCHIVE" /usr/src/kheaders
  is "$(chosen)" "'/usr/src/kheaders'"
  umount /usr/src/kheaders "$MNT" "$DIR/other"
}

# What is printed without a mount means the mount at the default place.
test_pkg_config() {
  mount -t tmpfs -o mode=755 none /usr/src
  mkdir /usr/src/kheaders
  "$EXE" cflags --for pkg-config >"$DIR/kheaders.pc"
  export PKG_CONFIG_PATH=$DIR
  pkg-config --validate kheaders
  "$EXE" "$ARCHIVE" /usr/src/kheaders
  arch=$(ls /usr/src/kheaders/arch)
  is "$(pkg-config --define-variable=arch="$arch" --cflags kheaders | sed 's/ *$//')" "$("$EXE" cflags --arch "$arch")"
  "$EXE" cflags --for pkg-config --arch arm64 | grep -x arch=arm64
  "$EXE" cflags --for pkg-config --arch ppc64le | grep -x arch=powerpc
  umount /usr/src/kheaders
}

test_quotes() {
  mkdir "$DIR/it's a mount"
  "$EXE" "$ARCHIVE" "$DIR/it's a mount"
  eval "$("$EXE" env)"
  is "$BCC_KERNEL_SOURCE" "$DIR/it's a mount"
  fails "$EXE" cflags 2>"$DIR/err"
  grep "a shell would not take it as one word" "$DIR/err"
  "$EXE" cflags --for clangd | grep -x -- "-isystem$DIR/it's a mount/include"
  umount "$DIR/it's a mount"
}

"test_$1"
