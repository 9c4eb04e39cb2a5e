// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// machines are the processors of a release, as GOARCH and ELF name them.
var machines = map[string]elf.Machine{
	"386":     elf.EM_386,
	"amd64":   elf.EM_X86_64,
	"arm64":   elf.EM_AARCH64,
	"ppc64le": elf.EM_PPC64,
	"riscv64": elf.EM_RISCV,
	"s390x":   elf.EM_S390,
}

// TestRelease makes a release for the processors that one machine may run. What the Go
// library compiles to for the others is most of the time that TestSlowRelease takes.
func TestRelease(t *testing.T) {
	t.Parallel()
	testRelease(t, "amd64", "386")
}

// TestSlowRelease makes the whole release.
func TestSlowRelease(t *testing.T) {
	need.Slow(t)
	testRelease(t)
}

// testRelease makes packages and a release from two repositories with the same commit,
// which must be the same bytes.
func testRelease(t *testing.T, arches ...string) {
	need.Long(t)
	need.Command(t, "git", "make", "tar", "gzip", "sha256sum")
	args := []string{"deb", "rpm", "release", "GOARCH=386"} // of the packages only
	if len(arches) > 0 {
		args = append(args, "RELEASE_ARCHES="+strings.Join(arches, " "))
	} else {
		for arch := range machines {
			arches = append(arches, arch)
		}
	}
	release := func(dir, umask string, env ...string) (dist string) {
		cmd := exec.Command("sh", append([]string{"-c", `umask "$1"; shift; exec make "$@"`, "sh", umask, "-C", dir}, args...)...)
		cmd.Env = append(os.Environ(), env...)
		check(t, output(cmd))
		return filepath.Join(dir, "dist")
	}
	tree := sources(t, "0.91")
	// The other one has another path, other times of files, and other ways of its user.
	other := filepath.Join(t.TempDir(), "a longer name")
	check(t, output(exec.Command("git", "clone", "-q", tree, other)))
	dist := release(tree, "022")
	again := release(other, "077", "TZ=Asia/Kathmandu", "LC_ALL=C.UTF-8", "HOSTNAME=other")
	check(t, output(exec.Command("diff", "-r", dist, again)))

	one(t, dist, "kheadersfs_0.91-1_i386.deb")
	one(t, dist, "kheadersfs-0.91-1.i386.rpm")
	sums := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	sums.Dir = dist
	check(t, output(sums))
	if n := strings.Count(string(content(t, filepath.Join(dist, "SHA256SUMS"))), "\n"); n != 2*len(arches) {
		t.Errorf("%d files in SHA256SUMS for %d processors", n, len(arches))
	}
	for _, arch := range arches {
		t.Run(arch, func(t *testing.T) { checkRelease(t, filepath.Join(dist, "kheadersfs-0.91-linux-"+arch), arch) })
	}
}

// checkRelease looks at the program and the files beside it in NAME.tar.gz, and
// compares its modules with those in the SBOM, NAME.cdx.json.
func checkRelease(t *testing.T, name, arch string) {
	dir := t.TempDir()
	check(t, output(exec.Command("tar", "-xf", name+".tar.gz", "--strip-components=1", "-C", dir)))
	program := filepath.Join(dir, "bin/kheadersfs")
	f, err := elf.Open(program)
	check(t, err)
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	interpreter := slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	if f.Machine != machines[arch] || len(libraries) > 0 || interpreter {
		t.Errorf("%v, with an interpreter: %v, with libraries: %q, %v", f.Machine, interpreter, libraries, err)
	}
	for _, file := range []string{"LICENSE", "README.md", "CHANGELOG.md", "licences-of-modules"} {
		content(t, filepath.Join(dir, "share/doc/kheadersfs", file))
	}
	st, err := os.Stat(filepath.Join(dir, "share/man/man8/kheadersfs.8"))
	check(t, err)
	if want := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC); !st.ModTime().Equal(want) {
		t.Errorf("the man page has the time %v, not that of the commit", st.ModTime())
	}

	info, err := buildinfo.ReadFile(program)
	check(t, err)
	var held []string
	for _, m := range info.Deps {
		held = append(held, m.Path+" "+m.Version)
		if !strings.Contains(string(content(t, filepath.Join(dir, "share/doc/kheadersfs/licences-of-modules"))), m.Path+" "+m.Version+"\n") {
			t.Errorf("no licence of %s", m.Path)
		}
	}
	held = append(held, "std "+info.GoVersion)
	var bom struct {
		Components []struct{ Name, Version string }
	}
	check(t, json.Unmarshal(content(t, name+".cdx.json"), &bom))
	var listed []string
	for _, c := range bom.Components {
		listed = append(listed, c.Name+" "+c.Version)
	}
	slices.Sort(held)
	slices.Sort(listed)
	if !slices.Equal(held, listed) {
		t.Errorf("the program holds %q, the SBOM has %q", held, listed)
	}

	out, err := exec.Command(program, "--version").Output()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Logf("this machine can't run a program for %s", arch)
		return
	}
	if err != nil || !strings.HasPrefix(string(out), "kheadersfs 0.91 ") || !strings.Contains(string(out), " linux/"+arch+")") {
		t.Errorf("%s%v", out, err)
	}
}
