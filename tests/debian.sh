#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/debian.sh SUITE DIR
#
# Prints a directory below DIR with the smallest system of a Debian release, such as
# bookworm, made from where apt gets packages. What is there already is taken.
set -eu

suite=$1 dir=$2

system=$dir/$suite
if ! [ -d "$system" ]; then
  # shellcheck disable=SC2016 # a field of apt
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
  [ -n "$mirror" ] || { echo "debian.sh: apt gets nothing from Debian; run apt-get update" >&2; exit 1; }
  rm -rf "$system.part"
  mkdir -p "$dir"
  debootstrap --variant=minbase "$suite" "$system.part" "$mirror" >"$system.log" 2>&1 || { tail -n 20 "$system.log" >&2; exit 1; }
  mv "$system.part" "$system"
fi
echo "$system"
