#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: contrib/packaging/release.sh CYCLONEDX GOARCH...
#
# Writes into dist/, for each processor, a tarball with what make install puts below
# /usr/local, and an SBOM of its program; and SHA256SUMS over all of them. CYCLONEDX is the
# Go program that writes SBOMs, with its version.
set -eu

cyclonedx=$1
shift
cd "$(dirname "$0")/../.."
# shellcheck source=contrib/packaging/stage.sh
. contrib/packaging/stage.sh

stage "$dir/stage" /usr/local
install -m 0644 CHANGELOG.md LICENSE "$dir/stage/usr/local/share/doc/kheadersfs"
rm -r "$dir/stage/usr/local/sbin" # links that lead to /usr/local

env -u GOARCH GOBIN="$dir" go install "$cyclonedx"
mkdir -p dist
files=
for arch in "$@"; do
  name=kheadersfs-$VERSION-linux-$arch
  cp -a "$dir/stage/usr/local" "$dir/$name"
  program "$arch" "$dir/$name/bin"
  dated "$dir/$name"
  tar -C "$dir" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner -cf "$dir/tar" "$name"
  gzip -9n <"$dir/tar" >"dist/$name.tar.gz"
  GOOS=linux GOARCH=$arch CGO_ENABLED=0 "$dir/cyclonedx-gomod" app -json -licenses -std -noserial -notimestamp \
    -main cmd/kheadersfs -output "dist/$name.cdx.json" .
  files="$files $name.tar.gz $name.cdx.json"
done
cd dist
# shellcheck disable=SC2086 # a list
sha256sum $files >SHA256SUMS
