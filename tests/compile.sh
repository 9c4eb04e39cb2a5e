#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/compile.sh TREE SOURCE OBJECT [FLAG...]
#
# Compiles a C file against a tree of kernel headers, with the include paths
# and definitions that bcc uses: relative ones, in the tree. Who compiles often
# sets CLANG_RESOURCE_DIR to what clang -print-resource-dir prints.
set -eu

tree=$1
source=$(realpath "$2")
object=$(realpath "$3")
shift 3
case $(uname -m) in
x86_64) arch=x86 ;;
aarch64) arch=arm64 ;;
*) echo "compile.sh: not written for $(uname -m)" >&2; exit 1 ;;
esac

cd "$tree"
exec clang -O2 -c -o "$object" "$source" \
  -nostdinc -isystem "${CLANG_RESOURCE_DIR:-$(clang -print-resource-dir)}/include" \
  "-Iarch/$arch/include" "-Iarch/$arch/include/generated" -Iinclude \
  "-Iarch/$arch/include/uapi" "-Iarch/$arch/include/generated/uapi" \
  -Iinclude/uapi -Iinclude/generated/uapi -include ./include/linux/kconfig.h \
  -D__KERNEL__ "-D__TARGET_ARCH_$arch" -DCONFIG_CC_IS_CLANG '-DKBUILD_MODNAME="test"' \
  -fno-stack-protector -fms-extensions -Wno-microsoft-anon-tag \
  -Wno-unused-value -Wno-pointer-sign -Wno-address-of-packed-member -Wno-gnu-variable-sized-type-not-at-end "$@"
