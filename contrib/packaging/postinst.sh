#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs after kheadersfs was installed or upgraded, by dpkg or rpm. What is mounted stays
# mounted, served by the program that mounted it.
set -eu

# rpm doesn't make it. It can't be looked at where a mount has died.
mkdir -p "${DPKG_ROOT-}/usr/src/kheaders" || :

# Without systemd the first mount makes the directory of the cache.
if command -v systemd-tmpfiles >/dev/null; then
  systemd-tmpfiles ${DPKG_ROOT:+--root="$DPKG_ROOT"} --create kheadersfs.conf || :
fi
