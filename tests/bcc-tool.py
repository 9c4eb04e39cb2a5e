#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/bcc-tool.py TOOL [ARGUMENT...]
#
# Runs one of bcc's tools until its first program for the kernel is compiled, and prints
# a hash of the instructions of each function.
import hashlib
import os
import runpy
import sys

from bcc import BPF, lib


def compiled(bpf):
    """Takes the place of what loads and attaches the functions."""
    for i in range(lib.bpf_num_functions(bpf.module)):
        name = lib.bpf_function_name(bpf.module, i)
        print(name.decode(), hashlib.sha256(bpf.dump_func(name)).hexdigest())
    sys.stdout.flush()
    os._exit(0)


BPF._trace_autoload = compiled
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
