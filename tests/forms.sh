#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/forms.sh ARCHIVE DIR
#
# Makes in DIR a file of each form in which ARCHIVE, a .tar.xz, can be mounted.
set -eu

archive=$1
cd "$2"
cat >kheaders.S <<END
	.section .rodata, "a"
	.quad 0x1122334455667788
	.globl kernel_headers_data
kernel_headers_data:
	.incbin "$archive"
	.globl kernel_headers_data_end
kernel_headers_data_end:
	.section .note.GNU-stack, "", @progbits
END
gcc -c -o kheaders.ko kheaders.S
cp kheaders.ko stripped.ko
strip stripped.ko
cp kheaders.ko signed.ko
printf 'signature~Module signature appended~\n' >>signed.ko
gzip -k kheaders.ko
xz -k -0 --check=crc32 --lzma2=preset=0,dict=1MiB kheaders.ko
zstd -q kheaders.ko
zstd -q -o signed-stripped.ko.zst stripped.ko
printf 'signature~Module signature appended~\n' | zstd -q >>signed-stripped.ko.zst
echo 'not headers' | xz >initramfs.xz
gcc -c -x assembler -o start.o - <<END
	.section .rodata
	.incbin "initramfs.xz"
	.text
	.globl _start
_start:
	.quad 0
END
ld -Ttext=0xffffffff81000000 -z noexecstack -o vmlinux start.o kheaders.ko
cp vmlinux vmlinux-stripped
strip vmlinux-stripped
{
  printf 'MZ\0\0'
  head -c 52 /dev/zero
  printf 'ARM\144'
  head -c 4093 /dev/zero
  cat initramfs.xz "$archive"
  head -c 5000 /dev/urandom
} >Image
xz -dc "$archive" >tar
for check in none crc32 sha256; do xz -0 --check=$check -c tar >check-$check.tar.xz; done
xz -0 --block-size=1MiB -T2 -c tar >blocks.tar.xz
xz -0 --lzma2=preset=0,lc=0,lp=3,pb=0,dict=4KiB -c tar >lp3.tar.xz
xz -0 --lzma2=preset=0,dict=1536MiB -c tar >dict.tar.xz
{
  head -c 1000000 tar | xz -0
  head -c 8 /dev/zero
  tail -c +1000001 tar | xz -0 --check=sha256
  xz </dev/null
  head -c 4 /dev/zero
} >streams.tar.xz
rm tar ./*.o ./*.S initramfs.xz
cp "$archive" a-name-that-says-nothing
mv kheaders.ko named.tar.xz
