#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs after kheadersfs was removed, by dpkg or rpm. dpkg purges apart, rpm with the last
# version. A mount whose cache file goes has it open, and reads on.
set -eu

case $1 in
purge | 0) rm -rf "${DPKG_ROOT-}/var/cache/kheadersfs" ;;
esac

if [ -z "${DPKG_ROOT-}" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
