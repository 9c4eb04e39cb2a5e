#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/fuzz.sh TIME
#
# Runs each fuzzer of the project for TIME.
set -eu

go list ./... | while read -r package; do
  go test -list '^Fuzz' "$package" | grep '^Fuzz' | while read -r fuzzer; do
    echo "$package $fuzzer"
    go test -run '^$' -fuzz "^$fuzzer\$" -fuzztime "$1" -fuzzminimizetime 5x "$package" </dev/null
  done
done
