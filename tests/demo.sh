#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/demo.sh
#
# The main job, from a header tree to a compiled file: makes a headers archive
# from Debian's headers package, mounts it, compiles against it, unmounts.
# Nothing is left behind.
set -eu

cd "$(dirname "$0")/.."
kheadersfs=$PWD/bin/kheadersfs
dir=$(mktemp -d)
mnt=$dir/kheaders
cleanup() {
  cd /
  if mountpoint -q "$mnt"; then "$unmount" "$mnt"; fi
  rm -rf --one-file-system "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
unmount=umount
[ "$(id -u)" = 0 ] || unmount='fusermount3 -u'

now() { date +%s%N; }
took() { echo "  $1: $((($(now) - $2) / 1000000)) ms"; }

echo "A headers archive as a kernel carries it, made from Debian's headers package:"
tests/stock-archive.sh "$dir/kheaders.tar.xz"
"$kheadersfs" info "$dir/kheaders.tar.xz" | sed 's/^/  /'

echo "Mounted:"
mkdir "$mnt"
start=$(now)
"$kheadersfs" --cache-dir "$dir/cache" "$dir/kheaders.tar.xz" "$mnt"
took 'kheadersfs kheaders.tar.xz MOUNTPOINT' "$start"
findmnt -n -o SOURCE,FSTYPE,OPTIONS "$mnt" | sed 's/^/  /'

echo "Compiled:"
cat >"$dir/prog.c" <<'END'
#include <linux/sched.h>
#include <linux/fs.h>
#include <net/sock.h>

int offsets[] = {
	__builtin_offsetof(struct task_struct, comm),
	__builtin_offsetof(struct file, f_path),
	__builtin_offsetof(struct sock, sk_protocol),
};
END
compile() { tests/compile.sh "$mnt" "$dir/prog.c" "$dir/prog.o"; }
start=$(now)
compile
took "clang against the mount, first time" "$start"
start=$(now)
compile
took "again" "$start"
echo "  prog.o: $(wc -c <"$dir/prog.o") bytes"

echo "What it saves:"
mkdir "$dir/unpacked"
start=$(now)
tar -xf "$dir/kheaders.tar.xz" -C "$dir/unpacked"
took "tar -xf, what every tool does without it" "$start"
echo "  on disk then: $(du -sm "$dir/unpacked" | cut -f 1) MB, in $(find "$dir/unpacked" | wc -l) files and directories"
pid=$(pgrep -n -x kheadersfs)
echo "  memory of kheadersfs instead: $(awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$pid/status") MB"

$unmount "$mnt"
echo "Unmounted."
