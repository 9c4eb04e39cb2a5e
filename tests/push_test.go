// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// A tenth more than what was counted on an idle machine, for Debian 12's headers. Those of
// Debian 13 take less of the first and more of the second.
const (
	maxRequestsA = 47
	maxReads     = 550
)

// TestPush reads one header that many programs begin with. kheadersfs then gives the kernel
// the headers that come with it, which the kernel reads from its cache.
func TestPush(t *testing.T) {
	for name, archive := range map[string]string{"stock": stockArchive(t), "packed": packedArchive(t)} {
		t.Run(name, func(t *testing.T) {
			mnt, log := mountLog(t, archive)
			found := func(expr string) [][][]byte { return regexp.MustCompile(expr).FindAllSubmatch(content(t, log), -1) }
			requests := func(expr string) int { return len(found(`: rx \d+: ` + expr)) }
			namesLookedUp(t, requests)
			content(t, filepath.Join(mnt, "include/linux/kconfig.h"))
			pushes := func() [][][]byte { return found(`NOTIFY_STORE_CACHE, \{n(\d+) `) }
			last := 0
			eventually(t, "other headers to be pushed", func() bool {
				before := last
				last = len(pushes())
				time.Sleep(100 * time.Millisecond)
				return last > 100 && last == before
			})
			pushed := map[string]bool{} // node ids, which are inode numbers
			for _, push := range pushes() {
				pushed[string(push[1])] = true
			}
			before, files := requests("READ "), 0
			check(t, filepath.WalkDir(mnt, func(path string, d os.DirEntry, err error) error {
				check(t, err)
				var st unix.Stat_t
				if check(t, unix.Lstat(path, &st)); d.Type().IsRegular() && pushed[strconv.FormatUint(st.Ino, 10)] {
					content(t, path)
					files++
				}
				return nil
			}))
			// Once in hundreds of runs Linux 6.18 has asked for a page that it was given.
			const most = 3
			if n := requests("READ ") - before; n > most || files < 100 {
				t.Errorf("reading %d files that were pushed took %d requests", files, n)
			}
		})
	}
}

// namesLookedUp waits until the kernel has the names that a server looks up ahead.
func namesLookedUp(t testing.TB, requests func(string) int) {
	t.Helper()
	for last := -1; ; {
		n := requests("(LOOKUP|READDIRPLUS)")
		if n > 0 && n == last {
			return
		}
		last = n
		time.Sleep(100 * time.Millisecond)
	}
}

// TestRequests counts the requests that a reader waits for. How many there are depends on
// what else runs: the reader may be faster than what is pushed. So each has some tries.
func TestRequests(t *testing.T) {
	need.Long(t)
	need.Command(t, "clang", "find", "xargs")
	archive := packedArchive(t)
	source := filepath.Join(t.TempDir(), "a.c")
	check(t, os.WriteFile(source, []byte(programs["A"]), 0o644))
	for _, test := range []struct {
		name, kind string
		read       func(mnt string) *exec.Cmd
		limit      int
	}{
		{"A", "", func(mnt string) *exec.Cmd {
			return exec.Command("./compile.sh", mnt, source, filepath.Join(t.TempDir(), "a.o"))
		}, maxRequestsA},
		{"everything", "READ ", func(mnt string) *exec.Cmd {
			return exec.Command("sh", "-c", readAll, mnt)
		}, maxReads},
	} {
		t.Run(test.name, func(t *testing.T) {
			const tries = 20
			var counts []int
			for range tries {
				mnt, requests := mountLogged(t, archive)
				namesLookedUp(t, requests)
				before := requests(test.kind)
				check(t, output(test.read(mnt)))
				n := requests(test.kind) - before
				check(t, unix.Unmount(mnt, 0))
				counts = append(counts, n)
				if n <= test.limit {
					t.Logf("requests: %d", counts)
					return
				}
			}
			t.Errorf("more than %d requests: %d", test.limit, counts)
		})
	}
}

// readAll reads each file of the directory that is $0.
const readAll = `cd "$0" && find . -type f -print0 | xargs -0 cat >/dev/null`

// TestPushIsNotBusy unmounts while names are looked up and headers are pushed.
func TestPushIsNotBusy(t *testing.T) {
	needMounts(t)
	archives := []string{packedArchive(t), stockArchive(t)} // names are looked up at once, or somewhat later
	for i := range 20 {
		mnt := mount(t, archives[i%2])
		pid := daemon(mnt)
		for _, name := range []string{"kconfig", "sched", "fs"}[:i/2%4] {
			content(t, filepath.Join(mnt, "include/linux", name+".h"))
		}
		if err := unix.Unmount(mnt, 0); err != nil {
			t.Fatal(fmt.Errorf("unmounting the %d. time: %w", i+1, err))
		}
		waitGone(t, pid)
	}
}

// TestPushKilled kills a server without a holder while it pushes, at many moments: it ends,
// and leaves a dead mount.
func TestPushKilled(t *testing.T) {
	archive := packedArchive(t)
	for i := range 40 {
		mnt := mount(t, archive)
		pid := daemon(mnt)
		check(t, unix.Kill(holder(t, mnt), unix.SIGKILL))
		content(t, filepath.Join(mnt, "include/linux/kconfig.h"))
		time.Sleep(time.Duration(i) * 500 * time.Microsecond)
		check(t, unix.Kill(pid, unix.SIGKILL))
		waitGone(t, pid)
		var st unix.Statfs_t
		eventually(t, "a dead mount", func() bool { return unix.Statfs(mnt, &st) == unix.ENOTCONN })
	}
}

// A freezer is a control group whose processes can be frozen, as for a suspend.
type freezer struct{ dir, file, on, off, frozenFile, frozen string }

func newFreezer(t *testing.T, version, options string) *freezer {
	t.Helper()
	root := t.TempDir()
	err := unix.Mount("none", root, version, 0, options)
	need.That(t, err == nil, "the freezer of %s: %v", version, err)
	t.Cleanup(func() { check(t, unix.Unmount(root, 0)) })
	dir, err := os.MkdirTemp(root, "kheadersfs")
	check(t, err)
	t.Cleanup(func() { eventually(t, "the group to be empty", func() bool { return os.Remove(dir) == nil }) })
	if version == "cgroup" {
		return &freezer{dir, "freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN\n"}
	}
	return &freezer{dir, "cgroup.freeze", "1", "0", "cgroup.events", "frozen 1\n"}
}

func (f *freezer) write(t *testing.T, file, value string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(f.dir, file), []byte(value), 0))
}

// TestFreeze freezes a server at random moments while it is busy. A process that waits for
// its own answer could not be frozen, and a machine not be suspended: of attempts on a server
// that reads headers itself 5 in 100 failed, and 25 while everything was read. None is left but
// on a machine so busy that the thread which pushes is held up for milliseconds.
func TestFreeze(t *testing.T) {
	need.Long(t)
	needMounts(t)
	need.Command(t, "clang", "find", "xargs")
	archive := packedArchive(t)
	source := filepath.Join(t.TempDir(), "b.c")
	check(t, os.WriteFile(source, []byte(programs["B"]), 0o644))
	for _, version := range []struct{ name, options string }{{"cgroup", "freezer"}, {"cgroup2", ""}} {
		t.Run(version.name, func(t *testing.T) {
			const limit = 300
			f := newFreezer(t, version.name, version.options)
			tries, failed := 0, 0
			for round := 0; tries < limit; round++ {
				mnt := mount(t, archive)
				pid := daemon(mnt)
				eventually(t, "names to be looked up", func() bool { return lookUpChild(pid) == 0 })
				f.write(t, "cgroup.procs", strconv.Itoa(pid))
				reader := exec.Command("./compile.sh", mnt, source, filepath.Join(t.TempDir(), "b.o"))
				if round%2 == 1 {
					reader = exec.Command("sh", "-c", readAll, mnt)
				}
				done := make(chan error, 1)
				go func() { done <- output(reader) }()
				for running := true; running; {
					select {
					case err := <-done:
						check(t, err)
						running = false
					case <-time.After(rand.N(5 * time.Millisecond)):
						if !f.freezes(t) {
							failed++
						}
						tries++
					}
				}
				check(t, unix.Unmount(mnt, 0))
			}
			t.Logf("%d of %d failed", failed, tries)
			if failed > tries/50 {
				t.Errorf("%d of %d attempts to freeze the server failed", failed, tries)
			}
		})
	}
}

// freezes reports whether the processes can be frozen within some seconds.
func (f *freezer) freezes(t *testing.T) bool {
	t.Helper()
	f.write(t, f.file, f.on)
	defer f.write(t, f.file, f.off)
	for range 2000 {
		if strings.Contains(string(content(t, filepath.Join(f.dir, f.frozenFile))), f.frozen) {
			return true
		}
		time.Sleep(2 * time.Millisecond)
	}
	return false
}
