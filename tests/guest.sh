#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What vm_test.go has a virtual machine do: this is its init, with busybox for
# everything. Prints "ok NAME" or "not ok NAME" for each step, and the kernel's
# log at the end.
# shellcheck disable=SC2016 # a step's text is for the shell that runs it
set -u
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

# shellcheck source=tests/steps.sh
. /steps.sh

updates=/lib/modules/$(uname -r)/updates
mnt=/usr/src/kheaders
export updates mnt
export mounted="grep '^kheaders $mnt fuse.kheadersfs ro,' /proc/mounts"
# Names and bytes of a tree, in one line. Files are read in the order in which
# they lie in the archive, which takes a fifth of the time here.
export sums='{ find . | sort; xargs sha256sum </files; } | sha256sum'

step 'fuse' 'grep -w fuse /proc/filesystems || modprobe fuse'
step 'mount what is not loaded' '
  ls /sys/kernel/kheaders.tar.xz && exit 1
  [ -z "$(kheadersfs $mnt 2>&1)" ]
  eval "$mounted"
  grep -q LINUX_VERSION_CODE $mnt/include/generated/uapi/linux/version.h
  umount $mnt
  ! grep kheaders /proc/modules'
step 'modprobe' 'modprobe kheaders; grep "^kheaders " /proc/modules'
step 'sysfs file' '
  [ "$(stat -c %a:%s /sys/kernel/kheaders.tar.xz)" = "444:$(stat -c %s /archive)" ]
  [ "$(sha256sum </sys/kernel/kheaders.tar.xz)" = "$(sha256sum </archive)" ]'
step 'tar' '
  mkdir /tree; cd /tree
  tar -xvJf /sys/kernel/kheaders.tar.xz | grep -v "/$" >/files
  [ $(wc -l </files) -gt 5000 ]'
# insmod tries two system calls, each of which says so in one line.
step 'second module' '
  dmesg -c >/dmesg
  insmod /kheaders2.ko 2>&1 | grep "File exists"
  dmesg -c >/dmesg2
  cat /dmesg2 >>/dmesg
  [ "$(sed "s/^\[[^]]*\] //" /dmesg2 | uniq)" = "kheaders2: /sys/kernel/kheaders.tar.xz is there already" ]
  ! grep kheaders2 /proc/modules'
step 'mount' '[ -z "$(kheadersfs $mnt 2>&1)" ]; eval "$mounted"'
step 'rmmod below the mount' '
  rmmod kheaders
  ! ls /sys/kernel/kheaders.tar.xz
  echo 3 >/proc/sys/vm/drop_caches'
step 'files' '
  want=$(cd /tree; eval "$sums")
  got=$(cd $mnt; eval "$sums")
  [ "$got" = "$want" ]'
# Nobody asks for its end here, so the process stays as a zombie.
step 'unmount' '
  umount $mnt
  for i in $(seq 50); do ps -o stat,comm | grep -v ^Z | grep kheadersfs || exit 0; usleep 100000; done
  exit 1'
# What it was built with can't run here, where only busybox is.
step 'mount the other module' '
  rm $updates/kheaders.ko*
  cp /other/kheaders.ko* $updates
  kheadersfs --link $mnt 2>&1 | grep "its programs are for x86_64, and need /lib64/ld-linux-x86-64.so.2$"
  eval "$mounted"
  cmp /tree/include/config/auto.conf $mnt/include/config/auto.conf
  ! grep kheaders /proc/modules'
step 'modules that were built with it' '
  [ -x /lib/modules/$(uname -r)/build/scripts/basic/fixdep ]
  cd /external
  insmod exports.ko; insmod uses.ko; insmod multi.ko; insmod hello.ko
  dmesg | grep "\] hello$"
  rmmod hello; rmmod multi; rmmod uses; rmmod exports
  dmesg | grep "\] bye$"
  umount $mnt
  for i in $(seq 50); do [ -L /lib/modules/$(uname -r)/build ] || exit 0; usleep 100000; done
  exit 1'

echo 'the kernel says:'
dmesg >>/dmesg
cat /dmesg
echo 'that is all'
poweroff -f
