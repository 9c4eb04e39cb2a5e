// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestErrors checks the exit status and the message of what goes wrong at the
// start of a mount, in the background and in the foreground.
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
		{[]string{}, 2, []string{"MOUNTPOINT is missing", "hint: kheadersfs "}},
		{[]string{"auto"}, 2, []string{"MOUNTPOINT is missing"}},
		{[]string{archive}, 2, []string{"MOUNTPOINT is missing: " + archive + " is a file", "hint: kheadersfs " + archive + " MOUNTPOINT"}},
		{[]string{path("m"), archive}, 2, []string{archive + ": not a directory", "hint: SOURCE comes first: kheadersfs " + archive + " " + path("m")}},
		{[]string{archive, ""}, 2, []string{"MOUNTPOINT is an empty string"}},
		{[]string{""}, 2, []string{"MOUNTPOINT is an empty string"}},
		{[]string{"", path("m")}, 2, []string{"SOURCE is an empty string"}},
		{[]string{"-", path("m")}, 2, []string{"SOURCE cannot be standard input", "hint: name a file"}},
		{[]string{"a", "b", "c"}, 2, []string{`too many arguments: ["c"]`, "hint: kheadersfs help mount"}},
		{[]string{"--nonsense", path("m")}, 2, []string{"unknown flag --nonsense", "hint: kheadersfs help mount"}},
		{[]string{"--forground", path("m")}, 2, []string{"unknown flag --forground", "hint: did you mean --foreground?"}},
		{[]string{"-x", path("m")}, 2, []string{"unknown flag -x", "hint: kheadersfs help mount"}},
		{[]string{"--strict=maybe", path("m")}, 2, []string{`--strict: "maybe" is neither true nor false`}},
		{[]string{path("m"), "--release"}, 2, []string{"--release needs a value"}},
		{[]string{"ifno", archive}, 2, []string{`unknown command "ifno"`, "hint: did you mean info?"}},
		{[]string{"list"}, 2, []string{`unknown command "list"`, "hint: kheadersfs --help"}},
		{[]string{"-v", "info"}, 2, []string{"the command info must come first"}},
		{[]string{archive, path("m"), "-o", "rw,nonsense=1"}, 2, []string{`unknown option "nonsense=1"`, "hint: kheadersfs help mount"}},
		{[]string{archive, path("m"), "-o", "uid=1000"}, 2, []string{`option "uid=1000" is not supported`, "hint: leave it out"}},
		{[]string{archive, path("m"), "-o", "remount,ro"}, 2, []string{`"remount" is not supported`, "hint: umount"}},
		{[]string{archive, path("absent")}, 1, []string{path("absent") + ": no such file", "hint: mkdir -p " + path("absent")}},
		{[]string{archive, path("file")}, 1, []string{path("file") + ": not a directory"}},
		{[]string{archive, path("file/x")}, 1, []string{"mount point " + path("file/x") + ": not a directory"}},
		{[]string{path("absent"), path("m")}, 1, []string{path("absent") + ": no such file"}},
		{[]string{path("fifo"), path("m")}, 1, []string{path("fifo") + ": not a regular file"}},
		{[]string{"/dev/zero", path("m")}, 1, []string{"/dev/zero: not a regular file"}},
		{[]string{dir, path("m")}, 1, []string{dir + " is a directory", "hint: use it as it is", "pack"}},
		{[]string{"https://example.org/k.tar.xz", path("m")}, 2, []string{"https://example.org/k.tar.xz is a URL", "hint: download"}},
		{[]string{path("file"), path("m")}, 1, []string{path("file") + ": not an archive of headers"}},
		{[]string{path("cut"), path("m")}, 1, []string{path("cut") + ": xz: ", "cut short"}},
		{[]string{"--release", "0.0/..", path("m")}, 2, []string{`"0.0/.." is not a kernel release`}},
		{[]string{"--release=", path("m")}, 2, []string{"--release: the value is empty"}},
		{[]string{"--cache-dir=", path("m")}, 2, []string{"--cache-dir: the value is empty"}},
		{[]string{"--release=0.0.0-none", path("m")}, 1, []string{
			"no headers archive for kernel 0.0.0-none", "/lib/modules/0.0.0-none/",
			"/run/booted-system/kernel-modules/lib/modules/0.0.0-none/", "hint: ", "give the host's root as --root", "kmod/"}},
	} {
		for _, mode := range [][]string{nil, {"--foreground"}} {
			args := append(mode, test.args...)
			fails(t, test.status, test.want, args...)
		}
		if isMounted(t, path("m")) {
			t.Fatalf("%q: mounted", test.args)
		}
	}
}

// TestCommandErrors checks the same of the other commands.
func TestCommandErrors(t *testing.T) {
	archive := smallArchive(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, test := range []struct {
		args   string // words; ARCHIVE and DIR stand for paths, EMPTY for an empty string
		status int
		want   string // lines, of which the output has each
	}{
		{"umount DIR", 2, "kheadersfs does not unmount\nhint: umount MOUNTPOINT, or fusermount3 -u"},
		{"unmount", 2, "kheadersfs does not unmount"},
		{"help ifno", 2, "unknown command \"ifno\"\nhint: did you mean info?"},
		{"mount", 2, "MOUNTPOINT is missing\nhint: kheadersfs help mount"},
		{"mount absent", 1, "/absent: no such file or directory\nhint: mkdir -p "},
		{"info EMPTY", 2, "SOURCE is an empty string"},
		{"info -", 2, "SOURCE cannot be standard input"},
		{"info --jsn", 2, "unknown flag --jsn\nhint: did you mean --json?"},
		{"info DIR", 1, dir + " is a directory"},
		{"verify --strict", 2, "unknown flag --strict\nhint: kheadersfs help verify"},
		{"verify a b", 2, `too many arguments: ["b"]`},
		{"ls ARCHIVE EMPTY", 2, "PATH is an empty string"},
		{"ls ARCHIVE include/absent.h", 1, archive + ": include/absent.h: no such file or directory"},
		{"ls ARCHIVE include/big.h/x", 1, archive + ": include/big.h/x: not a directory"},
		{"cat", 2, "PATH is missing"},
		{"cat ARCHIVE include", 1, archive + ": include: is a directory"},
		{"cat ARCHIVE dangling", 1, archive + ": dangling: it leads out of the archive, to /nowhere"},
		{"cat ARCHIVE ../x", 1, archive + ": ../x: it leads out of the archive"},
		{"extract", 2, "DIR is missing"},
		{"extract ARCHIVE EMPTY", 2, "DIR is an empty string"},
		{"extract ARCHIVE DIR", 1, dir + ": is there already\nhint: name a directory that does not exist"},
		{"extract ARCHIVE DIR/absent/x", 1, "kheadersfs: " + path("absent/x") + ": directory " + path("absent") + ": no such file or directory\nhint: mkdir -p " + path("absent")},
		// Checked before SOURCE, which takes seconds.
		{"extract DIR/absent.tar.xz DIR/absent/x", 1, path("absent/x") + ": directory "},
		{"pack DIR", 2, "-o FILE is missing"},
		{"pack -o DIR/x", 2, "TREE is missing"},
		{"pack -o DIR/x -", 2, "TREE cannot be standard input"},
		{"pack -o DIR/x EMPTY", 2, "TREE is an empty string"},
		{"pack -o DIR/x DIR/absent", 1, "kheadersfs: " + path("absent") + ": no such file or directory"},
		{"pack -o DIR/absent/x ARCHIVE", 1, path("absent/x") + ": directory " + path("absent") + ": no such file or directory"},
		{"pack --jobs x -o DIR/x ARCHIVE", 2, `--jobs: "x" is not a whole number`},
		{"pack --jobs=-1 -o DIR/x ARCHIVE", 2, "--jobs: -1 is not between 0 and 1024"},
		{"pack --block-size 1 -o DIR/x ARCHIVE", 2, "--block-size: 1 is not between 4096 and 4194304"},
		{"pack --objtree DIR -o DIR/x ARCHIVE", 2, "--objtree is for a source tree, and " + archive + " is a file"},
		{"pack --kbuild -o DIR/x ARCHIVE", 2, "--kbuild is for a tree, and " + archive + " is a file"},
		{"pack --no-check -o DIR/x DIR", 2, "--no-check and --btf are for --kbuild"},
		{"pack --objtree DIR/absent -o DIR/x DIR", 1, "--objtree " + path("absent") + ": no such file or directory"},
	} {
		var args []string
		for word := range strings.FieldsSeq(test.args) {
			args = append(args, strings.NewReplacer("ARCHIVE", archive, "DIR", dir, "EMPTY", "").Replace(word))
		}
		fails(t, test.status, strings.Split(test.want, "\n"), args...)
		if left := names(t, dir); left != "" {
			t.Fatalf("%q leaves %s", args, left)
		}
	}
}

// fails runs the program, which must fail with one message that holds each text.
func fails(t testing.TB, status int, want []string, args ...string) {
	t.Helper()
	stdout, stderr, got := run(t, args...)
	if got != status || stdout != "" || !strings.HasPrefix(stderr, "kheadersfs: ") || strings.Count(stderr, "kheadersfs: ") != 1 {
		t.Errorf("%q: exit status %d instead of %d; stdout %q, stderr:\n%s", args, got, status, stdout, stderr)
	}
	for _, text := range want {
		if !strings.Contains(stderr, text) {
			t.Errorf("%q: no %q in:\n%s", args, text, stderr)
		}
	}
}

// TestNoWay takes away what mounting needs, and looks for the hint.
func TestNoWay(t *testing.T) {
	needMount8(t)
	env := []string{"EXE=" + kheadersfs(t), "ARCHIVE=" + smallArchive(t)}
	wants := map[string]string{
		"no_device":        "hint: modprobe fuse",
		"device_disabled":  "hint: this kernel has no FUSE",
		"no_cap_sys_admin": "hint: mounting needs CAP_SYS_ADMIN",
		"not_the_users": "kheadersfs: mounting on $MNT: permission denied\n" +
			"hint: mount on a directory that you own and may write to",
		"sticky_not_the_users": "kheadersfs: mounting on $MNT: fusermount3 failed with exit status 1\n" +
			"hint: mount on a directory that you own and may write to",
		"no_user_allow_other": "kheadersfs: mounting on $MNT: fusermount3 failed with exit status 1\n" +
			"hint: allow_other needs the line user_allow_other in /etc/fuse.conf",
		"no_fusermount3": "hint: install fuse3",
	}
	eachIn(t, "noway.sh", func(t *testing.T, script []string) {
		mnt := mountpoint(t)
		out := inNamespace(t, script, append(env, "MNT="+mnt, "DIR="+worldReadable(t))...)
		want := strings.ReplaceAll(wants[script[1]], "$MNT", mnt)
		if want == "" || strings.Count(out, "kheadersfs: ") != 1 || !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	})
}

// TestVerbose finds each step in the output, and where the tree comes from.
func TestVerbose(t *testing.T) {
	needMounts(t)
	archive, cache := smallArchive(t), worldReadable(t)
	for _, test := range []struct{ flag, from string }{
		{"--no-cache", "decoded, to be kept in memory"},
		{"--cache-dir=" + cache, "decoded, to be kept in the cache file " + cache + "/"},
		{"--cache-dir=" + cache, "from the cache file " + cache + "/"},
	} {
		mnt := mountpoint(t)
		_, stderr, status := run(t, "-v", test.flag, archive, mnt)
		for _, want := range []string{archive, "1.2.3-test: " + test.from, mnt, "s)"} {
			if status != 0 || !strings.Contains(stderr, want) {
				t.Errorf("exit status %d, no %q in:\n%s", status, want, stderr)
			}
		}
		pid := daemon(mnt)
		check(t, unix.Unmount(mnt, 0))
		waitGone(t, pid) // and the cache file is written
	}
}
