#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What own_test.go has a virtual machine do, whose kernel carries its own headers: this is its
# init, as guest.sh is.
# shellcheck disable=SC2016 # a step's text is for the shell that runs it
set -u
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

# shellcheck source=tests/steps.sh
. /steps.sh

export mnt=/usr/src/kheaders
export sums='{ find . | sort; find . -type f | sort | xargs sha256sum; } | sha256sum'
functions='has_module() { [ -d /lib/modules/$(uname -r)/kernel/kernel ]; }'

step 'found' '
  kheadersfs info >/info
  if has_module; then
    grep "^archive  */lib/modules/$(uname -r)/kernel/kernel/kheaders.ko" /info
  else
    grep "^archive  */sys/kernel/kheaders.tar.xz" /info
  fi
  grep "^kernel  *$(uname -r)$" /info
  kheadersfs verify'
step 'mount' '
  [ -z "$(kheadersfs --strict --cache-dir /cache $mnt 2>&1)" ]
  if has_module; then modprobe kheaders; fi
  mkdir /tree; cd /tree
  tar -xJf /sys/kernel/kheaders.tar.xz
  if has_module; then rmmod kheaders; fi
  want=$(eval "$sums")
  cd $mnt
  got=$(eval "$sums")
  [ "$got" = "$want" ]
  cd /
  umount $mnt'
step 'cache' '
  for i in $(seq 100); do ls /cache/*.zst && break; usleep 100000; done
  [ -z "$(kheadersfs --strict --cache-dir /cache -v $mnt 2>&1 | grep "decod")" ]
  cmp /tree/include/linux/kconfig.h $mnt/include/linux/kconfig.h
  umount $mnt'

echo 'the kernel says:'
dmesg
echo 'that is all'
reboot -f
