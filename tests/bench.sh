#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/bench.sh
#
# Runs all benchmarks and writes docs/benchmarks.md.
set -eu

results=$(go test -run '^$' -bench . -benchmem -timeout 1h ./... | grep -v -e 'no test files' -e '^ok' -e '^PASS')
cat >docs/benchmarks.md <<END
<!-- SPDX-License-Identifier: Apache-2.0 -->
# Benchmarks

What \`make bench\` printed last, for benchstat. Compare what stands in one run, as a ratio: machines differ.

- $(uname -sr), $(nproc) processors, $(grep -m 1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs)
- $(go version), $(xz --version | head -n 1), $(clang --version | head -n 1)

\`\`\`
$results
\`\`\`

\`BenchmarkPack\`: \`of-stock\` is the size of the packed archive to that of a stock archive of the same headers; \`A-decoded\` and
\`B-decoded\` are the part of the archive that a program has decoded which includes \`linux/types.h\` and \`linux/sched.h\`, or
\`linux/fs.h\`, \`net/sock.h\` and \`linux/blkdev.h\`; \`A-by-path\` and \`B-by-path\` the same for an archive in the order of paths.
END
