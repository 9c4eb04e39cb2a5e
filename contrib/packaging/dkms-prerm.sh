#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs before kheadersfs-dkms is removed or upgraded, by dpkg or rpm. When rpm upgrades (1),
# the new version is in its place already.
set -eu

if [ -z "${DPKG_ROOT-}" ] && [ "$1" != 1 ]; then
  sh /usr/src/kheadersfs-@DKMS_VERSION@/dkms.sh remove || :
fi
