#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/licences.sh
#
# Fails when a file that can have a comment has no SPDX line.
set -eu

missing=$(git ls-files | grep -vE '^(LICENSE|VERSION|kmod/COPYING|go\.(mod|sum)|.*/testdata/.*)$' |
  tr '\n' '\0' | xargs -0 grep -L 'SPDX-License-Identifier: ' || true)
if [ -n "$missing" ]; then
  printf 'no SPDX line:\n%s\n' "$missing" >&2
  exit 1
fi
