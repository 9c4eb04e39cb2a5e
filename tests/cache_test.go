// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// cacheDir returns a directory for cache files, which does not exist yet.
func cacheDir(t testing.TB) string { return filepath.Join(worldReadable(t), "cache") }

func namesIn(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// cacheFile waits until a process reads its tree from the one cache file in a
// directory, and returns that.
func cacheFile(t testing.TB, dir string, pid int) (file string) {
	t.Helper()
	eventually(t, "a cache file in use", func() bool {
		hurry(dir)
		names := namesIn(dir)
		if len(names) != 1 || !strings.HasSuffix(names[0], ".v1.tar.zst") || names[0][0] == '.' {
			return false
		}
		file = filepath.Join(dir, names[0])
		return slices.Contains(openFiles(pid), file)
	})
	return file
}

// hurry takes the niceness from the threads that write cache files to a directory: on a
// loaded machine they could take longer than any test waits.
func hurry(dir string) {
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/*")
	for _, task := range tasks {
		if line, _ := os.ReadFile(filepath.Join(task, "cmdline")); strings.Contains(string(line), dir) {
			tid, _ := strconv.Atoi(filepath.Base(task))
			unix.Setpriority(unix.PRIO_PROCESS, tid, 0) // that may have ended
		}
	}
}

// openFiles returns the files that a process has open.
func openFiles(pid int) (paths []string) {
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	for _, fd := range namesIn(fds) {
		to, _ := os.Readlink(filepath.Join(fds, fd))
		paths = append(paths, to)
	}
	return paths
}

// inodesOf returns the inode of each file, as lstat(2) on the mount gives it.
func inodesOf(t testing.TB, root string) map[string]uint64 {
	t.Helper()
	all := map[string]uint64{}
	check(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		check(t, err)
		var st syscall.Stat_t
		check(t, syscall.Lstat(path, &st))
		all[strings.TrimPrefix(path, root)] = st.Ino
		return nil
	}))
	return all
}

func checkInodes(t testing.TB, got, want map[string]uint64) {
	t.Helper()
	for path, ino := range want {
		if got[path] != ino {
			t.Fatalf("%s: inode %d instead of %d", path, got[path], ino)
		}
	}
}

// TestCache mounts a stock archive twice: the first mount writes a file, and reads
// from it once it is there, as the second one does. Both are the tree that tar
// unpacks, with the same inodes, in little memory.
func TestCache(t *testing.T) {
	archive, want, dir := stockArchive(t), stockTree(t), cacheDir(t)
	steady := func(mnt string) {
		t.Helper()
		pid := daemon(mnt)
		eventually(t, "a process of at most 14 MiB", func() bool { return rss(t, pid, "VmRSS") <= 14<<10 })
	}
	first := mount(t, archive, "--cache-dir", dir)
	pid := daemon(first)
	inodes := inodesOf(t, first) // before the file is there, most likely
	file := cacheFile(t, dir, pid)
	compareTrees(t, first, want)
	checkInodes(t, inodesOf(t, first), inodes)
	steady(first)

	second := mount(t, archive, "-o", "cache-dir="+dir)
	if cacheFile(t, dir, daemon(second)) != file {
		t.Error("the second mount uses another file")
	}
	compareTrees(t, second, want)
	checkInodes(t, inodesOf(t, second), inodes)
	steady(second)
}

// TestCacheAsSource gives a cache file as SOURCE to each command, and to other
// programs that read .tar.zst.
func TestCacheAsSource(t *testing.T) {
	need.Command(t, "zstd", "tar", "bsdtar", "python3", "busybox", "bash", "diff")
	dir, tree := cacheDir(t), smallTree(t)
	archive := pack(t, tree)
	file := cacheFile(t, dir, daemon(mount(t, archive, "--cache-dir", dir)))

	other := cacheDir(t)
	compareTrees(t, mount(t, file, "--cache-dir", other), tree)
	if names := namesIn(other); len(names) > 0 {
		t.Errorf("a cache file of a cache file: %q", names)
	}
	stdout, stderr, status := run(t, "info", "--json", file)
	var info struct {
		Path, Kind, Release, Check string
		Streams, Blocks, Entries   int
		Index                      bool
		Files                      int64
	}
	if err := json.Unmarshal([]byte(stdout), &info); err != nil || status != 0 || stderr != "" || info.Path != file || info.Kind != "archive" ||
		info.Release != "1.2.3-test" || info.Check != "XXH64" || info.Streams != 0 || info.Blocks < 5 || !info.Index || info.Entries != 20 {
		t.Errorf("info --json: %s%s%v", stdout, stderr, err)
	}
	if stdout, stderr, status := run(t, "verify", file); stdout != file+": OK\n" || stderr != "" || status != 0 {
		t.Errorf("verify: %s%s", stdout, stderr)
	}
	repacked := func(source string) []byte {
		out := filepath.Join(t.TempDir(), "out.tar.xz")
		check(t, output(exec.Command(kheadersfs(t), "pack", "-o", out, source)))
		return content(t, out)
	}
	if !bytes.Equal(repacked(file), repacked(archive)) {
		t.Error("packed it is another archive than SOURCE")
	}
	for name, script := range map[string]string{
		"kheadersfs extract": `rmdir "$PWD"; "$EXE" extract "$F" "$PWD"`,
		"GNU tar":            `tar --delay-directory-restore -xf "$F"`,
		"GNU tar, piped":     `zstd -dc "$F" | tar -xf -`,
		"bsdtar":             `bsdtar -xf "$F"`,
		"busybox, piped":     `zstd -dc "$F" | busybox tar -xf -`,
		"Python, piped":      `zstd -dc "$F" | python3 -W ignore -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode="r|").extractall()'`,
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			check(t, os.Mkdir(out, 0o755))
			cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
			cmd.Dir = out
			cmd.Env = append(os.Environ(), "F="+file, "EXE="+kheadersfs(t), "LC_ALL=C.UTF-8")
			if b, err := cmd.CombinedOutput(); err != nil || len(b) > 0 {
				t.Fatalf("%v\n%s", err, b)
			}
			check(t, output(exec.Command("diff", "-r", "--no-dereference", out, tree)))
		})
	}
}

// TestCacheOff checks that no cache file is written or read with --no-cache, and for
// archives that need none.
func TestCacheOff(t *testing.T) {
	needMounts(t)
	archive := smallArchive(t)
	packed := filepath.Join(t.TempDir(), "packed.tar.xz")
	check(t, output(exec.Command(kheadersfs(t), "pack", "-o", packed, smallTree(t))))
	full := cacheDir(t)
	file := cacheFile(t, full, daemon(mount(t, archive, "--cache-dir", full)))
	for _, dir := range []string{cacheDir(t), full} {
		for _, args := range [][]string{
			{"--cache-dir", dir, "--no-cache", archive}, {"-o", "no-cache,cache-dir=" + dir, archive}, {"-o", "cache-dir=" + dir, "--no-cache", archive},
			{"--cache-dir", dir, packed}, {"--cache-dir", dir, file},
		} {
			before := namesIn(dir)
			mnt := mount(t, args[len(args)-1], args[:len(args)-1]...)
			pid := daemon(mnt)
			content(t, filepath.Join(mnt, "include/linux/types.h"))
			if slices.Contains(openFiles(pid), file) {
				t.Errorf("%q: uses the cache file", args)
			}
			check(t, unix.Unmount(mnt, 0))
			waitGone(t, pid)
			if names := namesIn(dir); !slices.Equal(names, before) {
				t.Errorf("%q: leaves %q", args, names)
			}
		}
	}
}

// TestCacheUnmountAtOnce unmounts before the cache file is written: it is whole or
// not there, and the process ends.
func TestCacheUnmountAtOnce(t *testing.T) {
	archive := stockArchive(t)
	for _, pause := range []time.Duration{0, 50 * time.Millisecond, 300 * time.Millisecond} {
		dir := cacheDir(t)
		mnt := mount(t, archive, "--cache-dir", dir)
		pid := daemon(mnt)
		time.Sleep(pause)
		check(t, unix.Unmount(mnt, 0))
		waitGone(t, pid)
		names := namesIn(dir)
		if len(names) > 1 || len(names) == 1 && !strings.HasSuffix(names[0], ".v1.tar.zst") {
			t.Errorf("leaves %q", names)
		}
		for _, name := range names {
			if _, stderr, status := run(t, "verify", filepath.Join(dir, name)); status != 0 {
				t.Error(stderr)
			}
		}
	}
}

// TestCacheStopAtOnce sends a signal before the cache file is written: the mount is
// detached, the file is finished, and nothing is said about open files.
func TestCacheStopAtOnce(t *testing.T) {
	dir := cacheDir(t)
	mnt, log, wait := serve(t, stockArchive(t), "--cache-dir", dir)
	check(t, syscall.Kill(wait.Process.Pid, syscall.SIGTERM))
	if err := wait.Wait(); err != nil {
		t.Error(err)
	}
	if text := string(content(t, log)); isMounted(t, mnt) || text != "" {
		t.Errorf("mounted: %v, says %q", isMounted(t, mnt), text)
	}
	if names := namesIn(dir); len(names) != 1 || names[0][0] == '.' {
		t.Errorf("leaves %q", names)
	}
}

// serve mounts in the foreground, and returns what the program logs to.
func serve(t testing.TB, archive string, flags ...string) (mnt, log string, cmd *exec.Cmd) {
	t.Helper()
	needMounts(t)
	mnt, log = mountpoint(t), filepath.Join(t.TempDir(), "log")
	stderr, err := os.Create(log)
	check(t, err)
	defer stderr.Close()
	cmd = exec.Command(kheadersfs(t), append(append([]string{"-f"}, flags...), archive, mnt)...)
	cmd.Stderr = stderr
	check(t, cmd.Start())
	t.Cleanup(func() {
		unix.Unmount(mnt, unix.MNT_DETACH)
		cmd.Wait()
	})
	eventually(t, "the mount", func() bool { return isMounted(t, mnt) })
	return mnt, log, cmd
}

// TestCacheAtOnce mounts one archive four times at once, with no cache file yet.
func TestCacheAtOnce(t *testing.T) {
	needMounts(t)
	archive, dir := stockArchive(t), cacheDir(t)
	mnts := []string{mountpoint(t), mountpoint(t), mountpoint(t), mountpoint(t)}
	var wg sync.WaitGroup
	for _, mnt := range mnts {
		wg.Go(func() {
			if _, stderr, status := run(t, "--cache-dir", dir, archive, mnt); status != 0 || stderr != "" {
				t.Errorf("exit status %d: %s", status, stderr)
			}
			if err := output(exec.Command("diff", "-r", filepath.Join(mnt, "include/linux"), filepath.Join(stockTree(t), "include/linux"))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, mnt := range mnts {
		pid := daemon(mnt)
		check(t, unix.Unmount(mnt, 0))
		waitGone(t, pid)
	}
	names := namesIn(dir)
	if len(names) != 1 {
		t.Fatalf("leaves %q", names)
	}
	if _, stderr, status := run(t, "verify", filepath.Join(dir, names[0])); status != 0 {
		t.Error(stderr)
	}
}
