#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/starts.sh TEST
#
# Mounts ARCHIVE on MNT from odd places, in a mount namespace of its own.
# shellcheck disable=SC2317 # functions are called by name
set -eu

look() { ls "${1:-$MNT}/include"; }
end() { umount "${1:-$MNT}"; }

test_relative_paths() {
  cd "$DIR"
  cp "$EXE" here
  mkdir m
  ln "$ARCHIVE" a
  ./here a m
  look m
  end m
}

test_from_path() {
  cd /
  PATH=$(dirname "$EXE"):$PATH
  kheadersfs "$ARCHIVE" "$MNT"
  look
  end
}

test_another_argv0() {
  (exec -a -nonsense "$EXE" "$ARCHIVE" "$MNT")
  look
  end
}

test_directory_removed() {
  mkdir "$DIR/gone"
  cd "$DIR/gone"
  rmdir "$DIR/gone"
  "$EXE" "$ARCHIVE" "$MNT"
  look
  end
}

test_without_proc() {
  mount -t tmpfs none /proc
  "$EXE" "$ARCHIVE" "$MNT"
  look
  umount -i "$MNT"
}

test_no_environment() {
  env -i "$EXE" --no-cache "$ARCHIVE" "$MNT"
  look
  end
}

test_standard_streams_closed() {
  "$EXE" "$ARCHIVE" "$MNT" <&- >&- 2>&-
  look
  end
}

test_link_to_program() {
  ln -s "$EXE" "$DIR/link"
  "$DIR/link" "$ARCHIVE" "$MNT"
  look
  end
}

test_link_to_mount_point() {
  ln -s "$MNT" "$DIR/m"
  "$EXE" "$ARCHIVE" "$DIR/m"
  look
  end
}

test_space_in_mount_point() {
  mkdir "$DIR/a b"
  "$EXE" "$ARCHIVE" "$DIR/a b"
  look "$DIR/a b"
  if "$EXE" "$ARCHIVE" "$DIR/a b"; then exit 1; fi
  end "$DIR/a b"
}

"test_$1"
