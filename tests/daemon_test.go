// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

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

// TestBackgroundKeepsNothing passes a descriptor down: a reader of the other end of
// the pipe must see its end.
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
	check(t, r.SetReadDeadline(time.Now().Add(10*time.Minute)))
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v: the pipe lives on in the background", err)
	}
}

// TestStarts mounts from odd places.
func TestStarts(t *testing.T) {
	needMounts(t)
	need.Command(t, "unshare", "bash")
	archive := smallArchive(t)
	eachIn(t, "starts.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "DIR="+t.TempDir(), "MNT="+mountpoint(t))
	})
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

// TestSignalWithOpenFiles reads from a file that is open when the mount is detached,
// until it is closed or a second signal comes.
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

// TestMountedOver leaves alone what somebody else has mounted on top, and serves
// what is below it until a second signal.
func TestMountedOver(t *testing.T) {
	archive := smallArchive(t)
	mnt := mount(t, archive)
	pid := daemon(mnt)
	check(t, unix.Mount("tmpfs", mnt, "tmpfs", 0, ""))
	check(t, syscall.Kill(pid, syscall.SIGTERM))
	time.Sleep(300 * time.Millisecond)
	var st unix.Statfs_t
	check(t, unix.Statfs(mnt, &st))
	if st.Type != unix.TMPFS_MAGIC {
		t.Errorf("on top now: type %#x", st.Type)
	}
	check(t, unix.Unmount(mnt, 0))
	if _, err := os.ReadFile(filepath.Join(mnt, "include/linux/kconfig.h")); err != nil {
		t.Errorf("below: %v", err)
	}
	check(t, syscall.Kill(pid, syscall.SIGTERM))
	waitGone(t, pid)
}

// TestMountedAtOnce starts the program several times at once: one mounts.
func TestMountedAtOnce(t *testing.T) {
	needMounts(t)
	archive := smallArchive(t)
	mnt := mountpoint(t)
	var wg sync.WaitGroup
	var mounted atomic.Int32
	for range 5 {
		wg.Go(func() {
			_, stderr, status := run(t, archive, mnt)
			switch {
			case status == 0:
				mounted.Add(1)
			case !strings.Contains(stderr, "already mounted"):
				t.Error(stderr)
			}
		})
	}
	wg.Wait()
	mounts := strings.Count(string(content(t, "/proc/self/mounts")), " "+mnt+" ")
	if mounted.Load() != 1 || mounts != 1 {
		t.Errorf("%d of them say that they have mounted, and there are %d mounts", mounted.Load(), mounts)
	}
	if _, err := os.ReadFile(filepath.Join(mnt, "include/linux/kconfig.h")); err != nil {
		t.Error(err)
	}
}

// TestMountedAlready mounts on a live mount, which is refused, and on dead ones: ours
// is removed, and no other.
func TestMountedAlready(t *testing.T) {
	archive := smallArchive(t)
	mnt := mount(t, archive)
	_, stderr, status := run(t, archive, mnt)
	if status != 1 || !strings.Contains(stderr, mnt+": already mounted") {
		t.Errorf("exit status %d, %s", status, stderr)
	}
	killServer(t, mnt)
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

// TestWithoutProc starts the program several times where there is no /proc: a second
// mount is refused, and so is one over a dead mount, which nothing shows to be ours.
func TestWithoutProc(t *testing.T) {
	needMounts(t)
	need.Command(t, "pkill")
	out := inNamespace(t, []string{"withoutproc.sh"}, "EXE="+kheadersfs(t), "ARCHIVE="+smallArchive(t), "DIR="+t.TempDir(), "MNT="+mountpoint(t))
	out = regexp.MustCompile(`/\S*/mnt`).ReplaceAllString(out, "MNT")
	const want = `kheadersfs: MNT: already mounted
hint: umount it first, or use it as it is
status 1
kheadersfs: MNT: already mounted
hint: umount it first, or use it as it is
status 1
1
kheadersfs: MNT: a dead FUSE mount is on it, and without /proc nothing says whose it is
hint: mount -t proc proc /proc, and try again
status 1
1
1
`
	if out != want {
		t.Errorf("%s\ninstead of\n%s", out, want)
	}
}

// TestKilledStart kills the background process before the mount answers, as the
// kernel does when memory runs out. A lock on the mount point keeps it waiting.
func TestKilledStart(t *testing.T) {
	needMounts(t)
	mnt := mountpoint(t)
	lock, err := os.Open(mnt)
	check(t, err)
	defer lock.Close()
	check(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	cmd := exec.Command(kheadersfs(t), smallArchive(t), mnt)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	check(t, cmd.Start())
	var pid int
	eventually(t, "the background process", func() bool { pid = daemon(mnt); return pid != 0 })
	check(t, syscall.Kill(pid, syscall.SIGKILL))
	_ = cmd.Wait()
	const want = "kheadersfs: the background process was killed: memory probably ran out\n" +
		"hint: the first mount of a kernel's archive takes about 45 MB of memory\n"
	if status := cmd.ProcessState.ExitCode(); status != 1 || stderr.String() != want || isMounted(t, mnt) {
		t.Errorf("exit status %d, %s", status, &stderr)
	}
}

// TestInterruptedStart stops the command at several moments: it succeeds and the mount
// is there, or it fails and there is none.
func TestInterruptedStart(t *testing.T) {
	needMounts(t)
	archive := stockArchive(t)
	for _, pause := range []time.Duration{0, 10, 30, 100, 200, 300} {
		mnt := mountpoint(t)
		cmd := exec.Command(kheadersfs(t), "--no-cache", archive, mnt)
		check(t, cmd.Start())
		time.Sleep(pause * time.Millisecond)
		pid := daemon(mnt)
		cmd.Process.Signal(syscall.SIGINT) // it may have ended
		failed := cmd.Wait() != nil
		if failed && pid != 0 {
			waitGone(t, pid)
		}
		if isMounted(t, mnt) == failed {
			t.Errorf("after %d ms: failed %v, and mounted %v", pause, failed, !failed)
		}
	}
}

// TestMemory measures the process at its peak, when the mount answers, and after
// everything has been read, of an archive that is decoded into memory and of one
// that is read block by block.
func TestMemory(t *testing.T) {
	for _, test := range []struct {
		name, archive     string
		peak, read, after int // MiB at most; after a while
	}{
		{"stock", stockArchive(t), 44, 26, 26},
		{"packed", packedArchive(t), 44, 26, 15},
	} {
		t.Run(test.name, func(t *testing.T) {
			mnt := mount(t, test.archive)
			pid := daemon(mnt)
			eventually(t, "the memory of mounting", func() bool { return rss(t, pid, "VmRSS") <= test.after<<10 })
			check(t, output(exec.Command("grep", "-rc", "struct", mnt)))
			peak, read := rss(t, pid, "VmHWM"), rss(t, pid, "VmRSS")
			t.Logf("RSS: %d KiB at its peak, %d after reading everything", peak, read)
			if peak > test.peak<<10 || read > test.read<<10 {
				t.Errorf("RSS: %d KiB at its peak, %d after reading everything", peak, read)
			}
			eventually(t, "the memory of reading", func() bool { return rss(t, pid, "VmRSS") <= test.after<<10 })
		})
	}
}

// TestSyslog finds what the background process says about open files in the log.
func TestSyslog(t *testing.T) {
	needMounts(t)
	dir := worldReadable(t)
	addr := &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"}
	syslog, err := net.ListenUnixgram("unixgram", addr)
	check(t, err)
	defer syslog.Close()
	line := make(chan string, 1)
	go func() {
		b := make([]byte, 1000)
		n, err := syslog.Read(b)
		os.WriteFile(filepath.Join(dir, "read"), nil, 0o644) // the script waits for it
		line <- fmt.Sprint(string(b[:n]), err)
	}()
	check(t, syslog.SetReadDeadline(time.Now().Add(10*time.Minute)))
	mnt := mountpoint(t)
	inNamespace(t, []string{"syslog.sh"}, "EXE="+kheadersfs(t), "ARCHIVE="+smallArchive(t), "MNT="+mnt, "DIR="+dir)
	if got := <-line; !strings.Contains(got, "kheadersfs[") || !strings.Contains(got, "files are still open below "+mnt) {
		t.Errorf("%q", got)
	}
}
