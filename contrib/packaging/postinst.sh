#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs after kheadersfs was installed or upgraded, by dpkg or rpm. What is mounted stays
# mounted: its servers start the new program in their place, or stay as they are if it can't
# take that.
set -eu

# rpm doesn't make it. It can't be looked at where a mount has died.
mkdir -p "${DPKG_ROOT-}/usr/src/kheaders" || :

# Without systemd the first mount makes the directory of the cache.
if command -v systemd-tmpfiles >/dev/null; then
  systemd-tmpfiles ${DPKG_ROOT:+--root="$DPKG_ROOT"} --create kheadersfs.conf || :
fi

if [ -z "${DPKG_ROOT-}" ]; then
  if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
  sed -n 's/^[^ ]* \([^ ]*\) fuse\.kheadersfs .*/\1/p' /proc/mounts 2>/dev/null | sort -u | while read -r dir; do
    kheadersfs --replace -- "$(printf %b "$dir")" || :
  done || :
fi
