// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

// TestCacheDirs finds the file where root and ordinary users have theirs.
func TestCacheDirs(t *testing.T) {
	needMount8(t)
	archive := smallArchive(t)
	hash := fmt.Sprintf("%x", sha256.Sum256(content(t, archive)))
	for _, test := range []struct{ name, script string }{
		{"root", `mount -t tmpfs -o mode=755 none /var/cache; export HOME=/nowhere XDG_CACHE_HOME=/nowhere; used /var/cache/kheadersfs`},
		{"root, --no-cache", `mount -t tmpfs -o mode=755 none /var/cache; unused --no-cache; fails ls /var/cache/kheadersfs`},
		{"root, no /var/cache", `mount -t tmpfs -o mode=755,ro none /var; warned "warning: no cache: /var/cache: read-only file system"`},
		{"XDG_CACHE_HOME", `be_user; export XDG_CACHE_HOME=$DIR/home/x; used "$XDG_CACHE_HOME/kheadersfs"; is "$(stat -c %a "$XDG_CACHE_HOME")" 700`},
		{"HOME", `be_user; unset XDG_CACHE_HOME; export HOME=$DIR/home; used "$HOME/.cache/kheadersfs"`},
		{"--cache-dir", `be_user; export XDG_CACHE_HOME=$DIR/home; used "$DIR/home/other" --cache-dir "$DIR/home/other"; fails ls "$XDG_CACHE_HOME/kheadersfs"`},
		{"relative --cache-dir", `be_user; cd "$DIR/home"; used "$DIR/home/other" --cache-dir other`},
		{"CACHE_DIRECTORY", `be_user; export CACHE_DIRECTORY=$DIR/home/service:$DIR/home/other XDG_CACHE_HOME=/nowhere; used "$DIR/home/service"`},
		{"neither", `be_user; unset HOME XDG_CACHE_HOME; warned "warning: no cache: neither \$XDG_CACHE_HOME nor \$HOME are defined"`},
		{"somebody else's", `be_user; export XDG_CACHE_HOME=/; warned "warning: no cache: /kheadersfs: permission denied"`},
		{"that all may write to", `be_user; as_user mkdir -m 777 "$DIR/home/open"; warned "warning: no cache: $DIR/home/open: others may write to it (mode 0777)" --cache-dir "$DIR/home/open"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := worldReadable(t)
			inNamespace(t, withFstab+`
user=
unset CACHE_DIRECTORY
mkdir "$DIR/home"; chown 65534 "$DIR/home" "$MNT"
be_user() { user=as_user; }
mounted() { $user "$EXE" "$@" "$ARCHIVE" "$MNT" 2>"$DIR/err"; $user cat "$MNT/include/linux/kconfig.h"; }
unmounted() { if [ "$user" ]; then as_user fusermount3 -u "$MNT"; else umount "$MNT"; fi; }
gone() { for i in $(seq 600); do pgrep -f "ready-fd=.*$MNT" >/dev/null || return 0; sleep 0.05; done; exit 1; }
used() {
	to=$1; shift
	mounted "$@"; unmounted; gone
	is "$(ls "$to")" "$HASH.v1.tar.zst"
	is "$(cat "$DIR/err")" ""
	touch -d @1000000000 "$to/$HASH.v1.tar.zst"
	mounted "$@"; unmounted; gone
	[ "$(stat -c %Y "$to/$HASH.v1.tar.zst")" -gt 1000000000 ]
}
unused() { mounted "$@"; unmounted; gone; is "$(cat "$DIR/err")" ""; }
warned() { want=$1; shift; mounted "$@"; unmounted; gone; is "$(cat "$DIR/err")" "kheadersfs: $want
hint: --cache-dir DIR uses another directory, --no-cache none"; }
`+test.script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "HASH="+hash, "MNT="+mountpoint(t), "DIR="+dir, "FSTAB=")
		})
	}
}
