#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/vuln.sh GOVULNCHECK VULNDB
#
# Prints the known vulnerabilities that the program is open to on Linux, and fails if
# there are any. GOVULNCHECK is the version of golang.org/x/vuln that looks for them;
# VULNDB the version of golang.org/x/vulndb that it looks in, or latest.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP

database=$(go mod download -json "golang.org/x/vulndb@$2" | sed -n 's/^.*"Dir": "\(.*\)",$/\1/p')
GOBIN=$dir go install "golang.org/x/vuln/cmd/govulncheck@$1"
status=0
"$dir/govulncheck" -db "file://$database/data/osv" ./... >"$dir/found" || status=$?
case $status in
0) ;;
3) # Of each vulnerability that is found, those of other systems only don't count.
  awk -v RS= '
    /^Vulnerability #/ { other = /\n +Platforms: / && !/\n +Platforms: [^\n]*linux/; n += !other }
    !other { print; print "" }
    END { exit n > 0 }
  ' "$dir/found"
  ;;
*) cat "$dir/found"; exit "$status" ;;
esac
