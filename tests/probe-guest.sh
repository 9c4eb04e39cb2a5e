#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What vm_test.go has a virtual machine do: this is its init. It attaches real probes, on a
# kernel with our module, without a package of headers, and without anything in the
# environment that says where headers are. Prints "ok NAME" or "not ok NAME" for each step,
# and the kernel's log at the end.
# shellcheck disable=SC2016 # a step's text is for the shell that runs it
set -u
/bin/busybox mkdir -p /box
/bin/busybox --install -s /box
export PATH=/usr/bin:/usr/sbin:/box HOME=/root
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tracefs trace /sys/kernel/tracing
mount -t debugfs debug /sys/kernel/debug

# shellcheck source=tests/steps.sh
. /steps.sh

export mnt=/usr/src/kheaders
# A program that runs until the probe has seen it.
export run_until='seen() { while :; do /usr/bin/true; sleep 0.3; if grep -q "$2" $1; then return; fi; kill -0 $3 || { cat $1; return 1; }; done; }'

step 'without headers' '
  ! ls /lib/modules/$(uname -r)/build
  ! bpftrace -e "#include <linux/sched.h>
    BEGIN { printf(\"%d\", sizeof(struct task_struct)); exit(); }"'
step 'mount' '
  modprobe fuse || grep -w fuse /proc/filesystems
  out=$(kheadersfs --link $mnt 2>&1)
  echo "$out"; [ -z "$out" ]
  [ "$(readlink /lib/modules/$(uname -r)/build)" = $mnt/include/.. ]'
step 'bpftrace' '
  eval "$run_until"
  bpftrace -e "#include <linux/sched.h>
#include <linux/fs.h>
    kprobe:vfs_open { @size = sizeof(struct file); printf(\"%s %d\n\", ((struct task_struct *)curtask)->comm, ((struct path *)arg0)->mnt != 0); }" >/trace 2>&1 &
  seen /trace "^true 1" $!
  kill $!'
step 'bcc' '
  eval "$run_until"
  execsnoop-bpfcc >/exec 2>&1 &
  seen /exec "^true " $!
  kill $!'
step 'unmount' '
  umount $mnt
  for i in $(seq 100); do [ -L /lib/modules/$(uname -r)/build ] || exit 0; sleep 0.1; done
  exit 1'

echo 'the kernel says:'
dmesg
echo 'that is all'
poweroff -f
