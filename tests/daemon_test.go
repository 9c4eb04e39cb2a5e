// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// smallArchive is enough where the content doesn't matter.
func smallArchive(t testing.TB) string { return pack(t, smallTree(t)) }

func TestBackground(t *testing.T) {
	mnt := mount(t, smallArchive(t))
	// The mount answers when the command has returned.
	if _, err := os.ReadFile(filepath.Join(mnt, "include/linux/kconfig.h")); err != nil {
		t.Fatal(err)
	}
	pid := daemon(mnt)
	for fd := range 3 {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); to != "/dev/null" {
			t.Errorf("standard stream %d is %q", fd, to)
		}
	}
	if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); cwd != "/" {
		t.Errorf("works in %q", cwd)
	}
	if sid, _ := unix.Getsid(pid); sid != pid {
		t.Errorf("process %d is in session %d", pid, sid)
	}
	check(t, unix.Unmount(mnt, 0))
	waitGone(t, pid)
}

// TestBackgroundKeepsNothing has the caller hand down a descriptor: who reads
// from the other end of the pipe must see its end.
func TestBackgroundKeepsNothing(t *testing.T) {
	needMounts(t)
	mnt := mountpoint(t)
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	cmd := exec.Command(kheadersfs(t), smallArchive(t), mnt)
	cmd.ExtraFiles = []*os.File{nil, nil, w}
	check(t, output(cmd))
	w.Close()
	check(t, r.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v: the pipe lives on in the background", err)
	}
}

// TestStarts mounts from odd places.
func TestStarts(t *testing.T) {
	needMounts(t)
	need.Command(t, "unshare", "bash")
	archive := smallArchive(t)
	for _, test := range []struct{ name, script string }{
		{"relative paths", `cd "$DIR" && cp "$EXE" here && mkdir m && ln "$ARCHIVE" a && ./here a m && ls m/include && umount m`},
		{"from PATH", `cd / && PATH=$(dirname "$EXE"):$PATH && kheadersfs "$ARCHIVE" "$MNT" && ls "$MNT/include" && umount "$MNT"`},
		{"another argv[0]", `(exec -a -nonsense "$EXE" "$ARCHIVE" "$MNT") && ls "$MNT/include" && umount "$MNT"`},
		{"directory removed", `mkdir "$DIR/gone" && cd "$DIR/gone" && rmdir "$DIR/gone" && "$EXE" "$ARCHIVE" "$MNT" && ls "$MNT/include" && umount "$MNT"`},
		{"without /proc", `mount -t tmpfs none /proc && "$EXE" "$ARCHIVE" "$MNT" && ls "$MNT/include" && umount -i "$MNT"`},
		{"no environment", `env -i "$EXE" "$ARCHIVE" "$MNT" && ls "$MNT/include" && umount "$MNT"`},
		{"standard streams closed", `"$EXE" "$ARCHIVE" "$MNT" <&- >&- 2>&- && ls "$MNT/include" && umount "$MNT"`},
		{"link to the program", `ln -s "$EXE" "$DIR/link" && "$DIR/link" "$ARCHIVE" "$MNT" && ls "$MNT/include" && umount "$MNT"`},
		{"link to the mount point", `ln -s "$MNT" "$DIR/m" && "$EXE" "$ARCHIVE" "$DIR/m" && ls "$MNT/include" && umount "$MNT"`},
		{"mount point with a space", `mkdir "$DIR/a b" && "$EXE" "$ARCHIVE" "$DIR/a b" && ls "$DIR/a b/include" && ! "$EXE" "$ARCHIVE" "$DIR/a b" && umount "$DIR/a b"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			inNamespace(t, test.script, "EXE="+kheadersfs(t), "ARCHIVE="+archive,
				"DIR="+t.TempDir(), "MNT="+mountpoint(t))
		})
	}
}

// inNamespace runs a script of bash with mounts of its own.
func inNamespace(t testing.TB, script string, env ...string) string {
	t.Helper()
	needRoot(t)
	need.Command(t, "unshare", "bash", "mount")
	var out bytes.Buffer
	cmd := exec.Command("unshare", "-m", "--propagation", "private", "bash", "-euc", script)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out.String())
	}
	return out.String()
}

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
		{[]string{"--release", "0.0/..", path("m")}, 1, []string{`"0.0/.." is not a kernel release`}},
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

func content(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return b
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

// TestSignals unmounts by each signal, in the background and the foreground.
func TestSignals(t *testing.T) {
	needMounts(t)
	archive := smallArchive(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			mnt := mount(t, archive)
			pid := daemon(mnt)
			check(t, syscall.Kill(pid, signal))
			waitGone(t, pid)
			if isMounted(t, mnt) {
				t.Error("still mounted")
			}

			mnt = mountpoint(t)
			cmd := foreground(t, archive, mnt)
			check(t, cmd.Process.Signal(signal))
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if isMounted(t, mnt) {
				t.Error("still mounted")
			}
		})
	}
}

// foreground starts the program and returns when the mount answers.
func foreground(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(kheadersfs(t), append([]string{"-f", "-v"}, args...)...)
	stderr, err := cmd.StderrPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), "mounted on") {
	}
	go io.Copy(io.Discard, stderr)
	return cmd
}

// TestSignalWithOpenFiles detaches the mount, and serves the file until it is
// closed, or until a second signal.
func TestSignalWithOpenFiles(t *testing.T) {
	archive := smallArchive(t)
	for _, second := range []bool{false, true} {
		t.Run("second signal "+strconv.FormatBool(second), func(t *testing.T) {
			mnt := mount(t, archive)
			f, err := os.Open(filepath.Join(mnt, "include/big.h"))
			check(t, err)
			defer f.Close()
			pid := daemon(mnt)
			check(t, syscall.Kill(pid, syscall.SIGTERM))
			eventually(t, "the mount to go", func() bool { return !isMounted(t, mnt) })
			time.Sleep(300 * time.Millisecond)
			if b, err := io.ReadAll(f); err != nil || len(b) != 640000 {
				t.Errorf("read %d bytes of an open file: %v", len(b), err)
			}
			if second {
				check(t, syscall.Kill(pid, syscall.SIGTERM))
			} else {
				f.Close()
			}
			waitGone(t, pid)
		})
	}
}

// TestMountedOver leaves alone what somebody else has mounted on top.
func TestMountedOver(t *testing.T) {
	archive := smallArchive(t)
	mnt := mount(t, archive)
	check(t, unix.Mount("tmpfs", mnt, "tmpfs", 0, ""))
	pid := daemon(mnt)
	check(t, syscall.Kill(pid, syscall.SIGTERM))
	waitGone(t, pid)
	var st unix.Statfs_t
	check(t, unix.Statfs(mnt, &st))
	if st.Type != unix.TMPFS_MAGIC {
		t.Errorf("on top now: type %#x", st.Type)
	}
}

// TestMountedAlready refuses a second mount on a live one, and puts a dead one
// of ours away, but no other.
func TestMountedAlready(t *testing.T) {
	archive := smallArchive(t)
	mnt := mount(t, archive)
	_, stderr, status := run(t, archive, mnt)
	if status != 1 || !strings.Contains(stderr, mnt+": already mounted") {
		t.Errorf("exit status %d, %s", status, stderr)
	}
	pid := daemon(mnt)
	check(t, syscall.Kill(pid, syscall.SIGKILL))
	waitGone(t, pid)
	var dead unix.Statfs_t
	eventually(t, "ENOTCONN", func() bool { return unix.Statfs(mnt, &dead) == unix.ENOTCONN })
	if _, stderr, status := run(t, archive, mnt); status != 0 {
		t.Fatalf("over a dead mount: exit status %d, %s", status, stderr)
	}
	mounts := string(content(t, "/proc/self/mounts"))
	if n := strings.Count(mounts, " "+mnt+" "); n != 1 {
		t.Errorf("%d mounts", n)
	}

	other := mountpoint(t)
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	check(t, err)
	check(t, unix.Mount("other", other, "fuse.other", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev.Fd())))
	dev.Close()
	_, stderr, status = run(t, archive, other)
	if status != 1 || !strings.Contains(stderr, "transport endpoint is not connected") {
		t.Errorf("over somebody's dead mount: exit status %d, %s", status, stderr)
	}
}

// TestInterruptedStart has no mount appear when the command was stopped.
func TestInterruptedStart(t *testing.T) {
	needMounts(t)
	archive := stockArchive(t)
	mnt := mountpoint(t)
	cmd := exec.Command(kheadersfs(t), archive, mnt)
	check(t, cmd.Start())
	time.Sleep(100 * time.Millisecond)
	pid := daemon(mnt)
	check(t, cmd.Process.Signal(syscall.SIGINT))
	if cmd.Wait() == nil {
		t.Error("succeeds")
	}
	if pid != 0 {
		waitGone(t, pid)
	}
	if isMounted(t, mnt) {
		t.Error("mounted")
	}
}

// TestMemory measures the process on a stock archive: at its peak, and after
// everything has been read.
func TestMemory(t *testing.T) {
	archive := stockArchive(t)
	mnt := mount(t, archive)
	pid := daemon(mnt)
	rss := func(field string) int {
		for line := range strings.Lines(string(content(t, fmt.Sprintf("/proc/%d/status", pid)))) {
			if words := strings.Fields(line); words[0] == field+":" {
				kb, err := strconv.Atoi(words[1])
				check(t, err)
				return kb
			}
		}
		t.Fatal("no " + field)
		return 0
	}
	after := rss("VmRSS")
	check(t, output(exec.Command("grep", "-rc", "struct", mnt)))
	peak, read := rss("VmHWM"), rss("VmRSS")
	t.Logf("RSS: %d KiB after the mount, %d after reading everything, %d at its peak", after, read, peak)
	if peak > 48<<10 || after > 24<<10 || read > 24<<10 {
		t.Errorf("RSS: %d KiB after the mount, %d after reading everything, %d at its peak", after, read, peak)
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
chown 65534 "$MNT"; EXE="setpriv --reuid=65534 --clear-groups $EXE"`, "hint: install fuse3"},
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

// TestSyslog has the background process tell of open files at its end.
func TestSyslog(t *testing.T) {
	needMounts(t)
	dir := worldReadable(t)
	addr := &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"}
	syslog, err := net.ListenUnixgram("unixgram", addr)
	check(t, err)
	defer syslog.Close()
	mnt := mountpoint(t)
	inNamespace(t, `
mount -t tmpfs none /dev
mknod -m 666 /dev/fuse c 10 229; mknod -m 666 /dev/null c 1 3
ln -s "$DIR/log" /dev/log
"$EXE" "$ARCHIVE" "$MNT"
exec 9<"$MNT/include/big.h"
pkill -f "kheadersfs --ready-fd=.*$MNT"
sleep 1`, "EXE="+kheadersfs(t), "ARCHIVE="+smallArchive(t), "MNT="+mnt, "DIR="+dir)
	check(t, syslog.SetReadDeadline(time.Now().Add(10*time.Second)))
	line := make([]byte, 1000)
	n, err := syslog.Read(line)
	check(t, err)
	if got := string(line[:n]); !strings.Contains(got, "kheadersfs[") || !strings.Contains(got, "files are still open below "+mnt) {
		t.Errorf("%q", got)
	}
}
