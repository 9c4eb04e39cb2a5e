#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/list.sh
#
# Lists parts of $DIR/archive, which is named in different ways and is found in a
# module as well. It needs a mount namespace of its own.
set -eu
# shellcheck source=tests/modules.sh
. ./modules.sh

module "$MODULES/updates"
cd "$DIR"
for args in "$DIR/archive include/linux" "archive /include/linux/" "./archive include/./linux" \
  "include/linux" "auto include/linux"; do
  # shellcheck disable=SC2086 # two arguments
  "$EXE" ls $args
  echo
done
"$EXE" ls archive include/big.h
"$EXE" ls archive include/generated/link.h
"$EXE" ls archive | wc -l
"$EXE" ls kheaders | wc -l
"$EXE" ls | wc -l
"$EXE" ls archive . | wc -l
"$EXE" cat include/linux/kconfig.h
"$EXE" cat none include/linux/kconfig.h
