#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/bench.sh [FLAG...]
#
# Measures kheadersfs against other filesystems (tests/bench, which the flags
# are for), runs all benchmarks, and writes docs/benchmarks.md. Needs root.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP

go build -o "$dir/bench" ./tests/bench
"$dir/bench" "$@" >"$dir/tables"
echo "go test -bench" >&2
go test -run '^$' -bench . -benchmem -timeout 1h ./... >"$dir/go" || { cat "$dir/go" >&2; exit 1; }

cat >"$dir/benchmarks.md" <<END
<!-- SPDX-License-Identifier: Apache-2.0 -->
# Benchmarks

What \`make bench\` printed last.

$(cat "$dir/tables")

## For benchstat

\`go test -run '^$' -bench . -benchmem ./...\`, on the same machine.

\`\`\`
$(grep -v -e 'no test files' -e '^ok' -e '^PASS' "$dir/go")
\`\`\`

\`BenchmarkPack\`: \`of-stock\` is the size of the packed archive to that of a stock archive of the same headers; \`A-decoded\` and
\`B-decoded\` are the part of the archive that a program has decoded which includes \`linux/types.h\` and \`linux/sched.h\`, or
\`linux/fs.h\`, \`net/sock.h\` and \`linux/blkdev.h\`; \`A-by-path\` and \`B-by-path\` the same for an archive in the order of paths.
END
mv "$dir/benchmarks.md" docs/benchmarks.md
