#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/link-clients.sh TEST
#
# Runs bcc and bpftrace, with nothing in their environment, while ARCHIVE, headers of the
# running kernel, is mounted on MNT: without a link to it, with one, and when it is not
# mounted any more. It needs a mount namespace of its own.
# shellcheck disable=SC2317 # functions are called by name
set -eu
# shellcheck source=tests/mount8.sh
. ./mount8.sh
# shellcheck source=tests/linked.sh
. ./linked.sh
unset BCC_KERNEL_SOURCE BPFTRACE_KERNEL_SOURCE BPFTRACE_KERNEL_BUILD
# bcc would unpack the headers that the kernel itself shows.
own=/sys/kernel/kheaders.tar.xz
[ ! -e $own ] || mount --bind /dev/null $own

with_and_without() { # CLIENT...
  fails "$@"
  "$EXE" "$ARCHIVE" "$MNT"
  fails "$@"
  "$EXE" link "$MNT"
  "$@"
  end
  [ -L "$build" ]
  fails "$@"
  "$EXE" --link "$ARCHIVE" "$MNT"
  "$@"
  end
  is "$(ls -A "$modules")" ""
  fails "$@"
}

test_bcc() {
  client() {
    timeout 60 /usr/bin/python3 -c '
from bcc import BPF
print(BPF(text="""
#include <linux/sched.h>
#include <linux/fs.h>
int prog(struct pt_regs *ctx, struct file *file) {
	struct task_struct *t = (struct task_struct *)bpf_get_current_task();
	return t->pid + file->f_mode;
}
""").dump_func("prog").hex())'
  }
  with_and_without client
}

test_bpftrace() {
  client() {
    timeout 60 bpftrace -e '#include <linux/sched.h>
#include <linux/fs.h>
BEGIN { printf("%d %d\n", sizeof(struct task_struct), sizeof(struct file)); exit(); }' >"$DIR/out" 2>&1 || :
    cat "$DIR/out"
    grep -x '[1-9][0-9]* [1-9][0-9]*' "$DIR/out"
  }
  with_and_without client
}

"test_$1"
