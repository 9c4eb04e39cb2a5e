// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// withFstab precedes scripts that use mount(8): the program lies where mount
// finds it, FSTAB is in /etc/fstab, and /dev/fuse is open to everybody, as udev
// leaves it. fusermount3 needs /etc/mtab, which a machine that has never been
// booted may lack.
const withFstab = `
mount -t tmpfs none /usr/local/sbin
cp "$EXE" /usr/local/sbin/kheadersfs
left=
trap 'for f in $left; do umount $f 2>/dev/null || :; rm $f; done' EXIT
[ -e /etc/fstab ] || { touch /etc/fstab; left=/etc/fstab; }
[ -e /etc/mtab ] || { ln -s /proc/self/mounts /etc/mtab; left="$left /etc/mtab"; }
printf '%s\n' "$FSTAB" >"$DIR/fstab"
mount --bind "$DIR/fstab" /etc/fstab
mknod -m 666 "$DIR/fuse" c 10 229
mount --bind "$DIR/fuse" /dev/fuse
as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; }
is() { [ "$1" = "$2" ] || { echo "$1 instead of $2"; exit 1; }; }
fails() { if "$@"; then echo "succeeds: $*"; exit 1; fi; }
shown() { findmnt -n -r -o "$1" "$MNT"; }
`

func needMount8(t *testing.T) {
	t.Helper()
	needMounts(t)
	need.Command(t, "mount", "mount.fuse3", "findmnt", "setpriv", "fusermount3")
}

func TestFstab(t *testing.T) {
	needMount8(t)
	archive := smallArchive(t)
	for _, test := range []struct{ name, options, script string }{
		{"mount -a", "defaults", `
mount -a; mount -a
is "$(grep -c kheadersfs /proc/mounts)" 1
is "$(shown SOURCE)" "$ARCHIVE"
is "$(shown FSTYPE)" fuse.kheadersfs
case $(shown OPTIONS) in ro,nosuid,nodev,relatime,*) ;; *) shown OPTIONS; exit 1;; esac
as_user cat "$MNT/include/linux/kconfig.h"
umount "$MNT"; fails mountpoint "$MNT"`},
		{"mount TARGET", "noauto", `
mount -a; fails mountpoint "$MNT"
mount "$MNT"; ls "$MNT/include"; umount "$MNT"
mount "$ARCHIVE"; ls "$MNT/include"; umount "$ARCHIVE"; fails mountpoint "$MNT"`},
		{"words of mount(8)", "rw,dev,suid,exec,async,noatime,nofail,_netdev,x-systemd.automount,X-mount.mkdir,comment=hello,noauto,group,sync", `
mount "$MNT"; is "$(shown OPTIONS | cut -d, -f1-3)" ro,nosuid,nodev; umount "$MNT"`},
		{"words of ours", "strict,release=1.2.3,verbose", `mount "$MNT" 2>&1 | grep "mounted on"; umount "$MNT"`},
		{"words of libfuse", "nonempty,auto_unmount,fsname=a,subtype=b,max_read=131072,blksize=4096,kernel_cache,attr_timeout=1,big_writes,intr", `
mount "$MNT"; is "$(shown SOURCE)" "$ARCHIVE"; is "$(shown FSTYPE)" fuse.kheadersfs; umount "$MNT"`},
		{"a word of libfuse that changes what is seen", "noauto,umask=077", `
s=0; mount "$MNT" 2>"$DIR/err" || s=$?
is $s 2; grep 'option "umask=077" is not supported' "$DIR/err"; grep "hint: leave it out" "$DIR/err"`},
		{"noexec", "noexec", `mount "$MNT"; shown OPTIONS | grep noexec; fails "$MNT/bin/script"; umount "$MNT"`},
		{"nosymfollow", "noauto,nosymfollow", `mount "$MNT"; shown OPTIONS | grep nosymfollow; fails cat "$MNT/include/generated/link.h"; umount "$MNT"`},
		{"remount", "defaults", `
mount "$MNT"
if mount -o remount "$MNT" 2>"$DIR/err"; then exit 1; fi
cat "$DIR/err"; grep '"remount"' "$DIR/err"
ls "$MNT/include"; umount "$MNT"`},
		{"an unknown word", "noauto,nonsense=1", `
s=0; mount "$MNT" 2>"$DIR/err" || s=$?
is $s 2; grep '"nonsense=1"' "$DIR/err"; grep "hint: kheadersfs help mount" "$DIR/err"`},
		{"a misspelt word", "noauto,no-cahce", `fails mount "$MNT" 2>"$DIR/err"; grep "hint: did you mean no-cache?" "$DIR/err"`},
		{"mount -t", "noauto", `
mount -t fuse.kheadersfs "$ARCHIVE" "$MNT"; ls "$MNT/include"; umount "$MNT"`},
		{"user", "noauto,user", `
chown 65534 "$MNT"
as_user mount "$MNT"
is "$(shown SOURCE)" "$ARCHIVE"
case $(shown OPTIONS) in ro,nosuid,nodev,*user_id=65534*) ;; *) shown OPTIONS; exit 1;; esac
as_user cat "$MNT/include/linux/kconfig.h"
fails cat "$MNT/include/linux/kconfig.h"
as_user umount "$MNT"; fails mountpoint "$MNT"`},
		{"user without fstab", "noauto", `
chown 65534 "$MNT"
as_user "$EXE" "$ARCHIVE" "$MNT"
as_user cat "$MNT/include/linux/kconfig.h"
as_user fusermount3 -u "$MNT"; fails mountpoint "$MNT"
as_user "$EXE" "$ARCHIVE" "$MNT"
pkill -f "kheadersfs --ready-fd=.*$MNT"
for i in 1 2 3 4 5 6 7 8 9 10; do mountpoint -q "$MNT" || break; sleep 0.1; done
fails mountpoint "$MNT"
as_user env -i PATH=/nowhere "$EXE" "$ARCHIVE" "$MNT"
pkill -f "kheadersfs --ready-fd=.*$MNT"
for i in 1 2 3 4 5 6 7 8 9 10; do mountpoint -q "$MNT" || break; sleep 0.1; done
fails mountpoint "$MNT"
chmod 600 /dev/fuse
if as_user "$EXE" "$ARCHIVE" "$MNT" 2>"$DIR/err"; then exit 1; fi
grep 'hint: chmod 0666 /dev/fuse' "$DIR/err"`},
		{"dropped privileges", "noauto,ro,nosuid,nodev,drop_privileges,setuid=nobody,allow_other", `
mount "$MNT"; ls "$MNT/include"; pid=$(pgrep -n -f "ready-fd=.*$ARCHIVE"); is "$(ps -o user= -p "$pid")" nobody
kill "$pid"
umount -l "$MNT"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			mnt := mountpoint(t)
			inNamespace(t, withFstab+test.script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "MNT="+mnt,
				"DIR="+worldReadable(t), "FSTAB="+archive+" "+mnt+" fuse.kheadersfs "+test.options+" 0 0")
		})
	}
}

// TestFstabFinds runs mount -a with each word in the first field that means to find
// the archive. The second time mount(8) must know that it is mounted.
func TestFstabFinds(t *testing.T) {
	needMount8(t)
	for _, word := range []string{"kheaders", "auto", "none"} {
		mnt := mountpoint(t)
		inNamespace(t, withFstab+withModules+`
cp "$ARCHIVE" "$DIR/archive"; module "$MODULES/kernel/kernel"
mount -a; mount -a
is "$(grep -c kheadersfs /proc/mounts)" 1
is "$(shown SOURCE)" "$WORD"
ls "$MNT/include"; umount "$MNT"`,
			"EXE="+kheadersfs(t), "ARCHIVE="+smallArchive(t), "MNT="+mnt, "DIR="+worldReadable(t),
			"WORD="+word, "FSTAB="+word+" "+mnt+" fuse.kheadersfs defaults 0 0")
	}
}

// TestAutofs mounts on an automount point, as systemd makes it for
// x-systemd.automount: a process that looks waits until mount(8) is done, but for
// those in the process group of the automounter, as mount(8) is. If the program left
// that group early, it would wait for itself.
func TestAutofs(t *testing.T) {
	needMount8(t)
	archive := smallArchive(t)
	dir := mountpoint(t)
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	data := fmt.Sprintf("fd=%d,pgrp=%d,minproto=5,maxproto=5,direct", w.Fd(), syscall.Getpgrp())
	check(t, unix.Mount("autofs", dir, "autofs", 0, data))
	w.Close()
	// Our process group doesn't trigger it.
	root, err := os.Open(dir)
	check(t, err)
	defer root.Close()

	done := make(chan error, 1)
	go func() {
		packet := make([]byte, 304) // struct autofs_v5_packet of linux/auto_fs.h
		if _, err := io.ReadFull(r, packet); err != nil {
			done <- err
			return
		}
		const ready, fail = 0x9360, 0x9361 // AUTOFS_IOC_READY, AUTOFS_IOC_FAIL
		answer := uint(ready)
		err := output(exec.Command("timeout", "--foreground", "20", kheadersfs(t), archive, dir))
		if err != nil {
			answer = fail
		}
		token := binary.NativeEndian.Uint32(packet[8:])
		unix.IoctlSetInt(int(root.Fd()), answer, int(token))
		done <- err
	}()
	cat := exec.Command("timeout", "30", "cat", filepath.Join(dir, "include/linux/kconfig.h"))
	cat.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cat.CombinedOutput()
	if err != nil || string(out) != "#define KCONFIG 1\n" {
		t.Errorf("%v: %s", err, out)
	}
	check(t, <-done)
	if _, stderr, status := run(t, archive, dir); status != 1 || !strings.Contains(stderr, "already mounted") {
		t.Errorf("again: exit status %d, %s", status, stderr)
	}
}
