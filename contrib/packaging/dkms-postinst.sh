#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs after kheadersfs-dkms was installed or upgraded, by dpkg or rpm. A kernel for which
# the module can't be built is named, and does not leave the package half installed.
set -eu

if [ -z "${DPKG_ROOT-}" ]; then
  sh /usr/src/kheadersfs-@DKMS_VERSION@/dkms.sh install || :
fi
