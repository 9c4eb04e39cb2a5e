# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
#
# The parts of the headers that headers.sh finds, for scripts that merge them, to be sourced:
# common, for all flavours of a kernel, and flavoured; and srcarch, the processor's name in
# arch/.
# shellcheck disable=SC2034 # for the script

case $(dpkg --print-architecture) in
amd64) srcarch=x86 ;;
arm64) srcarch=arm64 ;;
*) echo "${0##*/}: only amd64 and arm64 are known" >&2; exit 1 ;;
esac

tests=$(dirname "$0")
flavoured=$("$tests/headers.sh" "$tests/out/headers")
common=$(sed -n 's,^include \(.*\)/Makefile$,\1,p' "$flavoured/Makefile")
