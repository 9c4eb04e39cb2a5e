#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: contrib/packaging/package.sh deb|rpm NFPM
#
# Writes the packages kheadersfs, for the processor GOARCH, and kheadersfs-dkms into
# dist/, in one of the formats. They hold what make install installs, and the sources of
# the module. NFPM is the Go program that makes them, with its version.
set -eu

format=$1 nfpm=$2
cd "$(dirname "$0")/../.."
# shellcheck source=contrib/packaging/stage.sh
. contrib/packaging/stage.sh
arch=$(go env GOARCH)

# documents adds what each package has below /usr/share/doc.
documents() { # ROOT NAME
  doc=$1/usr/share/doc/$2
  install -D -m 0644 -t "$doc" contrib/packaging/copyright
  install -m 0644 CHANGELOG.md "$doc/changelog"
  [ "$format" = deb ] || return 0
  cat >"$doc/changelog.Debian" <<END
$2 ($VERSION-1) unstable; urgency=medium

  * changelog.gz has the changes.

 -- The kheadersfs contributors <kheadersfs@users.noreply.github.com>  $(date -R -d "@$SOURCE_DATE_EPOCH")
END
  if [ -f "contrib/packaging/$2.overrides" ]; then
    install -D -m 0644 "contrib/packaging/$2.overrides" "$1/usr/share/lintian/overrides/$2"
  fi
}

# finish does what Debian and rpm expect of a tree: texts are compressed, and a link
# within /usr is relative.
finish() { # ROOT
  find "$1" -type f \( -path '*/share/man/*' -o -path '*/share/doc/*' ! -name copyright ! -name README.md \) -exec gzip -9n {} +
  find "$1" -type l -path '*/share/man/*' | while read -r link; do
    ln -s "$(readlink "$link").gz" "$link.gz"
    rm "$link"
  done
  find "$1" -type l -lname '/*' | while read -r link; do
    ln -sfr "$1$(readlink "$link")" "$link"
  done
  dated "$1"
}

stage "$dir/kheadersfs" /usr
program "$arch" "$dir/kheadersfs/usr/bin"
if [ "$format" = rpm ]; then rmdir "$dir/kheadersfs/usr/src/kheaders"; fi # see kheadersfs.yaml
DESTDIR=$dir/kheadersfs-dkms sh kmod/dkms.sh copy

for name in kheadersfs kheadersfs-dkms; do
  documents "$dir/$name" "$name"
  finish "$dir/$name"
done

dkms=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' kmod/dkms.conf)
for file in contrib/packaging/*.yaml contrib/packaging/kheadersfs-dkms.conf contrib/packaging/*inst.sh contrib/packaging/*rm.sh LICENSE kmod/COPYING; do
  sed "s/@DKMS_VERSION@/$dkms/" "$file" >"$dir/${file##*/}"
done
mkdir -p dist
out=$PWD/dist
cd "$dir"
for name in kheadersfs kheadersfs-dkms; do
  env -u GOARCH ARCH="$arch" go run "$nfpm" package --config "$name.yaml" --packager "$format" --target "$out/"
done
