#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/demo.sh [PROGRAM]
#
# The main job, from a header tree to a compiled file: makes a headers archive
# from Debian's package of headers, mounts it, compiles against it, unmounts.
# Nothing is left behind but the unpacked package, in tests/out.
set -eu

cd "$(dirname "$0")/.."
kheadersfs=${1:-$PWD/bin/kheadersfs}
unmount=umount
[ "$(id -u)" = 0 ] || unmount='fusermount3 -u'
dir='' mnt=''
# server prints the process that has the mount point among its arguments.
server() {
  for process in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$process/cmdline" | grep -qxF "$mnt"; then echo "$process"; fi
  done
}
cleanup() {
  cd /
  if [ -n "$mnt" ] && mountpoint -q "$mnt"; then $unmount "$mnt"; fi
  # It may be writing its cache file.
  while [ -n "$mnt" ] && [ -n "$(server)" ]; do sleep 0.1; done
  if [ -n "$dir" ]; then rm -rf --one-file-system "$dir"; fi
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
dir=$(mktemp -d)
mnt=$dir/kheaders

now() { date +%s%N; }
took() { echo "  $1: $((($(now) - $2) / 1000000)) ms"; }
indented() { "$@" >"$dir/out"; sed 's/^/  /' "$dir/out"; }

echo "A headers archive as a kernel carries it, made from Debian's package of headers (half a minute):"
tests/stock-archive.sh "$dir/kheaders.tar.xz" 2>"$dir/err" || { cat "$dir/err" >&2; exit 1; }
sed -n 's/^kernel headers: /  headers   /p' "$dir/err"
indented "$kheadersfs" info "$dir/kheaders.tar.xz"

echo "Mounted:"
mkdir "$mnt"
start=$(now)
"$kheadersfs" --cache-dir "$dir/cache" "$dir/kheaders.tar.xz" "$mnt"
took 'kheadersfs kheaders.tar.xz MOUNTPOINT' "$start"
indented findmnt -n -o SOURCE,FSTYPE,OPTIONS "$mnt"

echo "Compiled:"
cat >"$dir/prog.c" <<'EOF'
#include <linux/sched.h>
#include <linux/fs.h>
#include <net/sock.h>

int offsets[] = {
	__builtin_offsetof(struct task_struct, comm),
	__builtin_offsetof(struct file, f_path),
	__builtin_offsetof(struct sock, sk_protocol),
};
EOF
# -w: the headers' own warnings are for their authors.
compile() { tests/compile.sh "$mnt" "$dir/prog.c" "$dir/prog.o" -w; }
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
echo "  memory of kheadersfs instead: $(awk '/VmRSS/ { print int($2 / 1024) }' "$(server)/status") MB"

$unmount "$mnt"
echo "Unmounted."
