# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
#
# For package.sh and release.sh, to be sourced at the top of the repository. The same
# commit gives the same bytes, wherever and whenever: times are those of the commit.

umask 022
export LC_ALL=C TZ=UTC

# A commit that is not the release is a version before it, and later than the commits
# before. An archive of the sources has the times of its commit.
VERSION=$(cat VERSION)
if commit=$(git describe --always --dirty=.dirty --abbrev=12 --exclude '*' 2>/dev/null); then
  time=$(git log -1 --format=%ct)
  if [ "$(git describe --exact-match --tags --match "v$VERSION" --dirty 2>/dev/null)" != "v$VERSION" ]; then
    VERSION=$VERSION~git$(date -d "@$time" +%Y%m%d.%H%M%S).$commit
  fi
else
  time=$(stat -c %Y VERSION)
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$time}
export VERSION SOURCE_DATE_EPOCH

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP

# stage installs into DIR what make install does. The program there is this machine's,
# which may have written other files of it; make would hand GOARCH=... on.
stage() { # DIR PREFIX
  env -u GOARCH -u MAKEFLAGS make -s all
  env -u GOARCH -u MAKEFLAGS make -s install DESTDIR="$1" PREFIX="$2" SBINDIR="$2/sbin" >&2
  doc=$1$2/share/doc/kheadersfs
  install -D -m 0644 -t "$doc" README.md
  licences >"$doc/licences-of-modules"
}

# program puts the program for a processor into DIR.
program() { # GOARCH DIR
  make -s "bin/linux-$1/kheadersfs"
  install -D -m 0755 "bin/linux-$1/kheadersfs" "$2/kheadersfs"
}

# licences prints the licences of the modules that the program holds, and of their
# packages that have one of their own. That of golang.org/x/sys is Go's own.
licences() {
  # shellcheck disable=SC2016 # a template
  go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}
{{$.ImportPath}} {{.Version}} {{$.Dir}}{{end}}{{end}}' ./cmd/kheadersfs | sort -u | while read -r path version source; do
    for file in "$source"/LICENSE*; do
      if [ -f "$file" ]; then
        printf '%s %s\n\n' "$path" "$version"
        cat "$file"
        printf '\n\n'
      fi
    done
  done
}

# dated gives every file in DIR the time of the commit.
dated() { # DIR
  find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}
