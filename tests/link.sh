#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/link.sh TEST
#
# Mounts ARCHIVE, headers of the running kernel, on MNT, with a link to it in the directory
# of that kernel's modules, in a mount namespace of its own. OTHER has those of another
# kernel.
# shellcheck disable=SC2317 # functions are called by name
set -eu
options=noauto,link
[ "$1" != fstab_force ] || options=noauto,link=force
FSTAB="$ARCHIVE $MNT kheadersfs $options 0 0"
# shellcheck source=tests/mount8.sh
. ./mount8.sh
# shellcheck source=tests/linked.sh
. ./linked.sh

# not_made mounts nevertheless, with a warning and a hint.
not_made() { # WARNING HINT [FLAG...]
  status 0 "$EXE" --link "${@:3}" "$ARCHIVE" "$MNT"
  grep -F "kheadersfs: warning: no link $build: $1" "$DIR/err"
  grep "^hint: .*$2" "$DIR/err"
  cat "$MNT/include/linux/kconfig.h"
  status 1 "$EXE" link "$MNT"
  grep -F "kheadersfs: no link $build: $1" "$DIR/err"
  grep "^hint: .*$2" "$DIR/err"
  end
}

test_umount() {
  "$EXE" --link "$ARCHIVE" "$MNT"
  is_linked "$MNT"
  ls "$build/include/linux"
  is "$(readlink -f "$build")" "$MNT"
  umount "$MNT"
  fails ls "$build/"
  gone
  is_clean
}

test_signal() {
  "$EXE" --link "$ARCHIVE" "$MNT"
  kill "$(server)"
  gone
  is_clean
}

# A file is open, and then the process is made to end.
test_two_signals() {
  "$EXE" --link "$ARCHIVE" "$MNT"
  exec 8<"$MNT/include/linux/kconfig.h"
  pid=$(server)
  kill "$pid"
  while mountpoint -q "$MNT"; do sleep 0.05; done
  while kill "$(server)" 2>/dev/null; do sleep 0.05; done
  is_clean
}

# The link of a process that was killed leads nowhere, or is taken over.
test_killed() {
  "$EXE" --link "$ARCHIVE" "$MNT"
  kill_server
  umount "$MNT"
  fails ls "$build/"
  "$EXE" --link "$ARCHIVE" "$MNT"
  kill_server
  mkdir "$DIR/other"
  "$EXE" --link "$ARCHIVE" "$DIR/other"
  is_linked "$DIR/other"
  umount "$DIR/other" "$MNT"
  while [ -L "$build" ]; do sleep 0.05; done
}

# Another process mounts while the first one is ending.
test_again_at_once() {
  for _ in 1 2 3 4 5; do
    "$EXE" --link "$ARCHIVE" "$MNT"
    first=$(server)
    umount "$MNT"
    "$EXE" --link "$ARCHIVE" "$MNT"
    while readlink "/proc/$first/exe" >/dev/null; do sleep 0.05; done
    is_linked "$MNT"
    end
    is_clean
  done
}

test_fstab() {
  with_helpers
  mount "$MNT"
  is_linked "$MNT"
  end
  is_clean
}

test_fstab_force() {
  with_helpers
  mkdir -p /var/lib/dkms/acpi-call/1.2.2
  ln -s /usr/src/acpi-call-1.2.2 /var/lib/dkms/acpi-call/1.2.2/source
  mount "$MNT"
  is_linked "$MNT"
  end
  is_clean
}

# What a kernel's package may own, for headers that are not installed.
test_dangling() {
  ln -s /usr/src/linux-headers "$build"
  "$EXE" --link "$ARCHIVE" "$MNT"
  is_linked "$MNT"
  end
  is_clean build
  is "$(readlink "$build")" /usr/src/linux-headers
}

test_package_takes_its_place() {
  ln -s /usr/src/linux-headers "$build"
  "$EXE" --link "$ARCHIVE" "$MNT"
  ln -sfn /usr/src/linux-headers "$build"
  end
  is_clean build
  is "$(readlink "$build")" /usr/src/linux-headers
}

test_headers_of_package() {
  mkdir -p /usr/src/linux-headers/include
  ln -s /usr/src/linux-headers "$build"
  not_made "there is one to /usr/src/linux-headers, in which headers are found" "kheadersfs env"
  is "$(readlink "$build")" /usr/src/linux-headers
}

test_empty_directory() {
  mkdir "$build"
  not_made "there is something else" "kheadersfs env"
  is_clean build
}

test_no_modules() {
  rmdir "$modules"
  not_made "$modules: no such file or directory" "kheadersfs env"
  fails ls "$modules"
}

test_modules_of_another() {
  rmdir "$modules"
  mkdir /lib/modules/9.9
  ln -s 9.9 "$modules"
  not_made "$modules: not a directory" "kheadersfs env"
  is "$(ls -A /lib/modules/9.9)" ""
}

test_read_only() {
  mount -o remount,ro /lib/modules
  not_made "read-only file system" "kheadersfs env"
}

test_other_kernel() {
  ARCHIVE=$OTHER
  not_made "the headers are of kernel 1.2.3-test, and $(uname -r) runs" "kheadersfs env"
  is_clean
}

test_replaceable() {
  chown 65534 "$DIR"
  mkdir "$DIR/mnt"
  mount --bind "$DIR" "$DIR" # so that MNT, below which it may be, stays as it is
  MNT=$DIR/mnt
  not_made "$MNT: other users can replace it: $DIR belongs to user 65534" "only root can change" --force
  is_clean
}

test_user() {
  chown 65534 "$MNT"
  status 0 as_user "$EXE" --no-cache --link "$ARCHIVE" "$MNT"
  grep "warning: no link $build: only root can make it" "$DIR/err"
  grep "hint: .*kheadersfs env" "$DIR/err"
  as_user fusermount3 -u "$MNT"
  gone
}

# mount.fuse3 mounts, and hands the mount over. It passes on no mount point.
test_handed_over() {
  status 0 mount -t fuse.kheadersfs -o link,ro,nosuid,nodev,drop_privileges "$ARCHIVE" "$MNT"
  grep "warning: no link $build: the mount point is not known" "$DIR/err"
  grep "hint: kheadersfs link MOUNTPOINT" "$DIR/err"
  "$EXE" link "$MNT"
  is_linked "$MNT"
  umount "$MNT"
}

test_commands() {
  status 1 "$EXE" link "$MNT"
  grep "$MNT: no headers of a kernel" "$DIR/err"
  status 1 "$EXE" unlink
  grep "$build: no such file" "$DIR/err"
  "$EXE" "$ARCHIVE" "$MNT"
  ln -s /usr/src/linux-headers "$build"
  "$EXE" link "$MNT"
  is_linked "$MNT"
  "$EXE" link "$MNT"
  status 1 "$EXE" unlink "$DIR"
  grep "$build is not a link of kheadersfs to $DIR" "$DIR/err"
  (cd "$MNT/.." && "$EXE" unlink "./$(basename "$MNT")")
  is_clean build
  is "$(readlink "$build")" /usr/src/linux-headers
  status 1 "$EXE" unlink
  grep "$build is not a link of kheadersfs" "$DIR/err"
  is "$(readlink "$build")" /usr/src/linux-headers
  "$EXE" link "$MNT"
  end
  "$EXE" unlink
  is "$(readlink "$build")" /usr/src/linux-headers
  # A tree that is not mounted stays when nothing is.
  mkdir "$DIR/tree"
  tar -C "$DIR/tree" -xf "$ARCHIVE"
  status 1 "$EXE" link "$DIR/tree"
  grep "$DIR/tree: no mount of kheadersfs" "$DIR/err"
}

# A module that DKMS has, and one that it is given.
test_dkms() {
  "$EXE" --link "$ARCHIVE" "$MNT"
  is_linked "$MNT"
  mkdir -p /var/lib/dkms/acpi-call/1.2.2
  ln -s /usr/src/acpi-call-1.2.2 /var/lib/dkms/acpi-call/1.2.2/source
  while [ -L "$build" ]; do sleep 0.05; done
  end
  not_made "DKMS has modules to build (acpi-call), and cannot build them in this mount" "kheadersfs pack --kbuild"
  is_clean
  "$EXE" --link=force "$ARCHIVE" "$MNT"
  is_linked "$MNT"
  "$EXE" unlink "$MNT"
  "$EXE" link --force "$MNT"
  is_linked "$MNT"
  end
  is_clean
}

# A package's sources are there before its script calls DKMS.
test_dkms_unpacked() {
  "$EXE" --link "$ARCHIVE" "$MNT"
  mkdir -p /usr/src/acpi-call-1.2.2
  touch /usr/src/acpi-call-1.2.2/dkms.conf.dpkg-new
  mv /usr/src/acpi-call-1.2.2/dkms.conf.dpkg-new /usr/src/acpi-call-1.2.2/dkms.conf
  while [ -L "$build" ]; do sleep 0.05; done
  end
}

# make says that there is nothing to make, whatever it is to make.
test_make() {
  "$EXE" --link "$ARCHIVE" "$MNT"
  for target in modules clean modules_install help; do
    status 2 make -C "$build" M="$DIR" $target
    grep "No rule to make target '$target'" "$DIR/err"
  done
  status 2 make -C "$build" M="$DIR"
  grep "No targets specified and no makefile found" "$DIR/err"
  end
}

"test_$1"
