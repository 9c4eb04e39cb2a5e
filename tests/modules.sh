# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For scripts that need modules for the running kernel, to be sourced in a mount
# namespace of its own: module makes one that holds $DIR/archive in a directory. They
# lie in the second place of the search, since a machine may have no /lib/modules.

mount -t tmpfs none /run
MODULES=/run/booted-system/kernel-modules/lib/modules/$(uname -r)
mkdir -p "$MODULES"

module() { # DIRECTORY
  mkdir -p "$1"
  gcc -c -x assembler -o "$1/kheaders.ko" - <<END
	.section .rodata
	.globl kernel_headers_data
kernel_headers_data:
	.incbin "$DIR/archive"
	.globl kernel_headers_data_end
kernel_headers_data_end:
END
}
