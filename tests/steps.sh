# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
#
# For scripts that a virtual machine runs, to be sourced there.

# step prints "ok NAME" if a script has succeeded, or "not ok NAME" and what it has printed.
# The functions in $functions are there for it.
step() { # NAME SCRIPT
  name=$1
  if out=$(sh -euc "${functions-}
$2" 2>&1); then
    echo "ok $name ($(cut -d ' ' -f 1 /proc/uptime) s)"
  else
    echo "not ok $name: $out"
  fi
}
