// SPDX-License-Identifier: Apache-2.0

// Package tests tries the command on a whole system: real mounts, real clients.
package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// scratch is removed when all tests are done.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kheadersfs-tests-")
	if err != nil {
		panic(err)
	}
	// An ordinary user runs the program from here too.
	if err := os.Chmod(dir, 0o755); err != nil {
		panic(err)
	}
	scratch = dir
	// Nothing that a test mounts is kept in the cache of root or of a user.
	os.Setenv("CACHE_DIRECTORY", filepath.Join(dir, "cache"))
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func needRoot(t testing.TB) {
	t.Helper()
	need.That(t, os.Geteuid() == 0, "root")
}

// needTerminal is for tests that run something in a terminal, by script(1).
func needTerminal(t testing.TB) {
	t.Helper()
	need.Command(t, "script")
	err := output(exec.Command("script", "-qec", "true", "/dev/null"))
	need.That(t, err == nil, "a pseudo-terminal: %v", err)
}

// needMounts is for tests that mount as root.
func needMounts(t testing.TB) {
	t.Helper()
	needRoot(t)
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	need.That(t, err == nil, "/dev/fuse: %v", err)
	f.Close()
}

// once builds something under scratch that many tests use.
type once struct {
	sync.Once
	path string
	err  error
}

func (o *once) get(t testing.TB, name string, build func(path string) error) string {
	t.Helper()
	o.Do(func() {
		o.path = filepath.Join(scratch, name)
		o.err = build(o.path)
	})
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.path
}

var program, raceProgram, stock, unpacked once

// kheadersfs returns the path of the program.
func kheadersfs(t testing.TB) string {
	t.Helper()
	return program.get(t, "kheadersfs", func(path string) error {
		return output(exec.Command("env", "CGO_ENABLED=0", "go", "build", "-o", path, "../cmd/kheadersfs"))
	})
}

// kheadersfsRace returns the path of the program built to find data races.
func kheadersfsRace(t testing.TB) string {
	t.Helper()
	need.Long(t)
	return raceProgram.get(t, "kheadersfs-race", func(path string) error {
		return output(exec.Command("env", "CGO_ENABLED=1", "go", "build", "-race", "-o", path, "../cmd/kheadersfs"))
	})
}

// kernelHeaders returns a kernel's build directory, as Debian's package of headers has
// it.
func kernelHeaders(t testing.TB) string {
	t.Helper()
	need.Long(t)
	need.Command(t, "dpkg", "apt-get")
	dir, err := exec.Command("./headers.sh", "out/headers").Output()
	need.That(t, err == nil, "Debian's package of kernel headers: %v", err)
	return strings.TrimSpace(string(dir))
}

// stockArchive returns the path of an archive as a kernel carries it.
func stockArchive(t testing.TB) string {
	t.Helper()
	kernelHeaders(t)
	need.Command(t, "perl", "tar", "xz")
	return stock.get(t, "stock.tar.xz", func(path string) error {
		return output(exec.Command("./stock-archive.sh", path))
	})
}

// stockTree returns the stock archive unpacked by tar.
func stockTree(t testing.TB) string {
	t.Helper()
	archive := stockArchive(t)
	return unpacked.get(t, "stock", func(path string) error { return untar(archive, path) })
}

func untar(archive, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return output(exec.Command("tar", "-xf", archive, "-C", dir))
}

// smallTree makes a tree with everything that an archive may hold.
func smallTree(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	files := map[string]string{
		"include/linux/kconfig.h":              "#define KCONFIG 1\n",
		"include/linux/types.h":                strings.Repeat("typedef int t;\n", 5000),
		"include/empty.h":                      "",
		"include/generated/utsrelease.h":       "#define UTS_RELEASE \"1.2.3-test\"\n",
		"include/big.h":                        strings.Repeat("0123456789abcdef", 40000),
		"arch/x86/include/asm/a name with é.h": "x",
		"bin/script":                           "#!/bin/sh\necho it runs\n",
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(content), 0o644))
	}
	check(t, os.Chmod(filepath.Join(dir, "bin/script"), 0o755))
	check(t, os.Mkdir(filepath.Join(dir, "void"), 0o755))
	check(t, os.Symlink("../linux/types.h", filepath.Join(dir, "include/generated/link.h")))
	check(t, os.Symlink("/nowhere", filepath.Join(dir, "dangling")))
	check(t, os.Link(filepath.Join(dir, "include/linux/types.h"), filepath.Join(dir, "include/hard.h")))
	old := time.Unix(1e9, 0)
	check(t, os.Chtimes(filepath.Join(dir, "include/big.h"), old, old))
	return dir
}

// pack makes a .tar.xz of a tree.
func pack(t testing.TB, tree string, xzArgs ...string) string {
	t.Helper()
	need.Command(t, "tar", "xz")
	path := filepath.Join(worldReadable(t), "archive.tar.xz")
	script := `tree=$1 out=$2; shift 2; tar -C "$tree" --sort=name -cf - . | xz "$@" >"$out"`
	check(t, output(exec.Command("sh", append([]string{"-c", script, "sh", tree, path}, xzArgs...)...)))
	return path
}

// smallArchive is enough where the content doesn't matter.
func smallArchive(t testing.TB) string { return pack(t, smallTree(t)) }

// output runs a command, and has what it printed in the error.
func output(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%q: %w\n%s", cmd.Args, err, out.String())
	}
	return nil
}

// run runs the program, and returns what it printed and its exit status.
func run(t testing.TB, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return runCmd(t, exec.Command(kheadersfs(t), args...))
}

func runCmd(t testing.TB, cmd *exec.Cmd) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	// A daemon that kept the terminal would hold this up for ever.
	cmd.WaitDelay = 10 * time.Minute
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// mountpoint makes a directory that is unmounted when the test ends, also if it fails.
func mountpoint(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(worldReadable(t), "mnt")
	check(t, os.Mkdir(dir, 0o755))
	t.Cleanup(func() {
		pid := daemon(dir)
		for unix.Unmount(dir, unix.MNT_DETACH) == nil {
		}
		if pid != 0 {
			if t.Failed() { // its mount may lie in a namespace that it keeps alive
				if h := findHolder(dir); h != 0 {
					unix.Kill(h, unix.SIGKILL)
				}
				unix.Kill(pid, unix.SIGKILL)
			}
			waitGone(t, pid)
		}
	})
	return dir
}

// worldReadable makes a directory that ordinary users reach, which those of
// t.TempDir are not.
func worldReadable(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "")
	check(t, err)
	check(t, os.Chmod(dir, 0o755))
	return dir
}

// mount mounts an archive, and returns the mount point. It keeps nothing for the
// next mount, unless flags say where.
func mount(t testing.TB, archive string, flags ...string) string {
	t.Helper()
	needMounts(t)
	dir := mountpoint(t)
	if len(flags) == 0 {
		flags = []string{"--no-cache"}
	}
	_, stderr, status := run(t, append(flags, archive, dir)...)
	if status != 0 || stderr != "" {
		t.Fatalf("mounting %s: exit status %d\n%s", archive, status, stderr)
	}
	return dir
}

// eventually waits until ok. Ten minutes are enough on the slowest machine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 10*time.Minute {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func isMounted(t testing.TB, dir string) bool {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	check(t, err)
	return strings.Contains(string(mounts), " "+dir+" fuse.kheadersfs ")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return b
}

// inNamespace runs a script of this directory with mounts of its own, and returns what
// it printed.
func inNamespace(t testing.TB, script []string, env ...string) string {
	t.Helper()
	needRoot(t)
	need.Command(t, "unshare", "bash", "mount")
	// In a chroot whose root is no mount point, mounts can't be kept from others.
	private := []string{"-m", "--propagation", "private"}
	err := output(exec.Command("unshare", append(private, "true")...))
	need.That(t, err == nil, "a root directory that is a mount point: %v", err)
	var out bytes.Buffer
	cmd := exec.Command("unshare", append(append(private, "./"+script[0]), script[1:]...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Minute
	if err := cmd.Run(); err != nil {
		t.Fatalf("%q: %v\n%s", script, err, out.String())
	}
	return out.String()
}

var places sync.Mutex

// inPlaces is inNamespace for scripts, of tests that run two at a time, that make the directories
// which they mount over, as /lib/modules, where this machine has none: to remove one removes
// another's mount on it.
func inPlaces(t *testing.T, script []string, env ...string) string {
	t.Helper()
	places.Lock()
	defer places.Unlock()
	return inNamespace(t, script, env...)
}

// eachIn runs all tests of a script, which are its functions test_NAME.
func eachIn(t *testing.T, script string, test func(t *testing.T, script []string)) {
	t.Helper()
	names := regexp.MustCompile(`(?m)^test_(\w+)\(\)`).FindAllStringSubmatch(string(content(t, script)), -1)
	if len(names) == 0 {
		t.Fatal("no tests in " + script)
	}
	for _, name := range names {
		t.Run(name[1], func(t *testing.T) { test(t, []string{script, name[1]}) })
	}
}
