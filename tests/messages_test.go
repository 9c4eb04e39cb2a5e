// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestErrors looks at the exit status and the words of what goes wrong at the
// start, in the background and in the foreground.
func TestErrors(t *testing.T) {
	needMounts(t)
	archive := smallArchive(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	check(t, os.Mkdir(path("m"), 0o755))
	check(t, os.WriteFile(path("file"), []byte("no headers\n"), 0o644))
	check(t, unix.Mkfifo(path("fifo"), 0o644))
	check(t, os.WriteFile(path("cut"), content(t, archive)[:500], 0o644))
	for _, test := range []struct {
		args   []string
		status int
		want   []string
	}{
		{[]string{}, 2, []string{"too few arguments", "hint: kheadersfs --help"}},
		{[]string{"a", "b", "c"}, 2, []string{`too many arguments: ["c"]`}},
		{[]string{"--nonsense", path("m")}, 2, []string{"unknown flag: --nonsense"}},
		{[]string{archive, path("m"), "-o", "rw,nonsense=1"}, 2, []string{`unknown option "nonsense=1"`}},
		{[]string{archive, path("m"), "-o", "remount,ro"}, 2, []string{`"remount" is not supported`, "hint: umount"}},
		{[]string{archive, path("absent")}, 1, []string{path("absent") + ": no such file", "hint: mkdir -p " + path("absent")}},
		{[]string{archive, path("file")}, 1, []string{path("file") + ": not a directory"}},
		{[]string{path("absent"), path("m")}, 1, []string{path("absent") + ": no such file"}},
		{[]string{path("fifo"), path("m")}, 1, []string{path("fifo") + ": not a regular file"}},
		{[]string{"/dev/zero", path("m")}, 1, []string{"/dev/zero: not a regular file"}},
		{[]string{dir, path("m")}, 1, []string{dir + ": not a regular file"}},
		{[]string{path("file"), path("m")}, 1, []string{path("file") + ": neither a .tar.xz archive"}},
		{[]string{path("cut"), path("m")}, 1, []string{path("cut") + ": xz: ", "cut short"}},
		{[]string{"--release", "0.0/..", path("m")}, 2, []string{`"0.0/.." is not a kernel release`}},
		{[]string{"--release=", path("m")}, 2, []string{"--release names no release"}},
		{[]string{"--cache-dir=", path("m")}, 2, []string{"--cache-dir names no directory"}},
		{[]string{"--release=0.0.0-none", path("m")}, 1, []string{
			"no headers archive for kernel 0.0.0-none", "/lib/modules/0.0.0-none/",
			"/run/booted-system/kernel-modules/lib/modules/0.0.0-none/", "hint: ", "/lib/modules visible", "kmod/"}},
	} {
		for _, mode := range [][]string{nil, {"--foreground"}} {
			args := append(mode, test.args...)
			stdout, stderr, status := run(t, args...)
			if status != test.status || stdout != "" || !strings.HasPrefix(stderr, "kheadersfs: ") ||
				strings.Count(stderr, "kheadersfs: ") != 1 {
				t.Errorf("%q: exit status %d instead of %d; stdout %q, stderr:\n%s", args, status, test.status, stdout, stderr)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%q: no %q in:\n%s", args, want, stderr)
				}
			}
		}
		if isMounted(t, path("m")) {
			t.Fatalf("%q: mounted", test.args)
		}
	}
}

// TestNoWay has what mounting needs missing, and looks for the hint.
func TestNoWay(t *testing.T) {
	needMount8(t)
	env := []string{"EXE=" + kheadersfs(t), "ARCHIVE=" + smallArchive(t), "MNT=" + mountpoint(t), "FSTAB="}
	for name, test := range map[string]struct{ script, want string }{
		"no device":       {`umount /dev/fuse; mount -t tmpfs none /dev`, "hint: modprobe fuse"},
		"device disabled": {`umount /dev/fuse; mount -t tmpfs none /dev; mknod /dev/fuse c 10 250`, "hint: this kernel has no FUSE"},
		"no CAP_SYS_ADMIN": {`EXE="setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin $EXE"`,
			"hint: mounting needs CAP_SYS_ADMIN"},
		"no fusermount3": {`
for f in /usr/bin/fusermount3 /usr/bin/fusermount; do mount --bind "$DIR/fstab" $f; done
chown 65534 "$MNT"; EXE="setpriv --reuid=65534 --clear-groups $EXE --no-cache"`, "hint: install fuse3"},
	} {
		t.Run(name, func(t *testing.T) {
			out := inNamespace(t, withFstab+test.script+`
fails $EXE "$ARCHIVE" "$MNT"
fails mountpoint -q "$MNT"`, append(env, "DIR="+worldReadable(t))...)
			if strings.Count(out, "kheadersfs: ") != 1 || !strings.Contains(out, test.want) {
				t.Errorf("no %q in:\n%s", test.want, out)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	stdout, _, status := run(t, "--help")
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if status != 0 || len(lines) > 36 {
		t.Errorf("--help: exit status %d, %d lines", status, len(lines))
	}
	for _, line := range lines {
		if len(line) > 100 {
			t.Errorf("--help has a line of %d columns: %q", len(line), line)
		}
	}
	stdout, _, status = run(t, "--version")
	if status != 0 || !strings.HasPrefix(stdout, "kheadersfs ") || !strings.Contains(stdout, "commit ") || !strings.Contains(stdout, "go1.") {
		t.Errorf("--version: exit status %d, %q", status, stdout)
	}
}

func TestVerbose(t *testing.T) {
	needMounts(t)
	mnt := mountpoint(t)
	archive := smallArchive(t)
	_, stderr, status := run(t, "-v", archive, mnt)
	for _, want := range []string{archive, "1.2.3-test", mnt, "ms)"} {
		if status != 0 || !strings.Contains(stderr, want) {
			t.Errorf("exit status %d, no %q in:\n%s", status, want, stderr)
		}
	}
}
