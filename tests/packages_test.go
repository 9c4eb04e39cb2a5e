// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

var firstPackages, secondPackages once

// packages returns the directories of the packages of two versions, each made from a
// repository of its own. The file version in a directory has the version.
func packages(t testing.TB) (first, second string) {
	t.Helper()
	need.Long(t)
	need.Command(t, "git", "make", "gzip", "dpkg-deb", "rpm")
	build := func(version string) func(string) error {
		return func(path string) error {
			tree := sources(t, version)
			if err := output(exec.Command("make", "-C", tree, "deb", "rpm")); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(tree, "dist/version"), []byte(version+"\n"), 0o644); err != nil {
				return err
			}
			return os.Rename(filepath.Join(tree, "dist"), path)
		}
	}
	return firstPackages.get(t, "packages-1", build("0.91")), secondPackages.get(t, "packages-2", build("0.92"))
}

// sources returns a repository with the files of this one as they are now, in a commit
// that is the release of a version. It is the same commit each time.
func sources(t testing.TB, version string) string {
	t.Helper()
	need.Command(t, "git", "tar")
	dir := t.TempDir()
	script := `
		git -C .. ls-files -z --cached --others --exclude-standard | tar -C .. --null -T - --ignore-failed-read -cf - | tar -C "$1" -xf -
		cd "$1"
		echo "$2" >VERSION
		sed -i "s/^PACKAGE_VERSION=.*/PACKAGE_VERSION=\"$2\"/" kmod/dkms.conf
		git init -q
		git add -A
		git commit -q -m "$2"
		git tag "v$2"`
	cmd := exec.Command("sh", "-ec", script, "sh", dir, version)
	cmd.Env = append(os.Environ(),
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=2001-02-03T04:05:06Z",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_COMMITTER_DATE=2001-02-03T04:05:06Z")
	check(t, output(cmd))
	return dir
}

// TestPackages upgrades and removes packages below a mount.
func TestPackages(t *testing.T) {
	needMounts(t)
	first, second := packages(t)
	need.Command(t, "dpkg", "rpm", "busybox", "pgrep", "systemd-tmpfiles")
	tree := smallTree(t)
	archive := pack(t, tree)
	eachIn(t, "packages.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "FIRST="+first, "SECOND="+second, "DIR="+worldReadable(t), "TREE="+tree, "ARCHIVE="+archive)
	})
}

// TestSlowPackagesDebian does it by apt and rpm in Debian 12 and 13, and has DKMS build the
// module there.
func TestSlowPackagesDebian(t *testing.T) {
	need.Slow(t)
	needMounts(t)
	need.Command(t, "pgrep")
	first, second := packages(t)
	tree := smallTree(t)
	archive := pack(t, tree)
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			path := debianSystem(t, suite)
			eachIn(t, "packages-debian.sh", func(t *testing.T, script []string) {
				inNamespace(t, script, "SYSTEM="+path, "FIRST="+first, "SECOND="+second, "DIR="+worldReadable(t), "TREE="+tree, "ARCHIVE="+archive)
			})
		})
	}
}

// debianSystem returns the directory of the smallest system of a Debian release.
func debianSystem(t testing.TB, suite string) string {
	t.Helper()
	need.That(t, runtime.GOARCH == "amd64", "an amd64 machine")
	need.Command(t, "apt-get", "debootstrap")
	var stderr bytes.Buffer
	cmd := exec.Command("./debian.sh", suite, "out/debian")
	cmd.Stderr = &stderr
	system, err := cmd.Output()
	need.That(t, err == nil, "Debian's %s: %v\n%s", suite, err, &stderr)
	path, err := filepath.Abs(strings.TrimSpace(string(system)))
	check(t, err)
	return path
}

// The package holds what make install installs, and what policies want beside that, and
// lintian finds no fault.
func TestPackageContents(t *testing.T) {
	first, _ := packages(t)
	dir := t.TempDir()
	check(t, output(exec.Command("make", "-C", "..", "install", "DESTDIR="+dir, "PREFIX=/usr", "SBINDIR=/usr/sbin")))
	var want []string
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if name := strings.TrimPrefix(path, dir); err == nil && (!d.IsDir() || name == "/usr/src/kheaders") {
			if strings.Contains(name, "/man/") {
				name += ".gz"
			}
			want = append(want, name)
		}
		return err
	}))
	deb, rpm := listed(t, "dpkg-deb", "-c", one(t, first, "kheadersfs_*.deb")), listed(t, "rpm", "-qplv", one(t, first, "kheadersfs-[0-9]*.rpm"))
	for _, doc := range []string{"README.md", "copyright", "changelog.gz", "licences-of-modules.gz"} {
		want = append(want, "/usr/share/doc/kheadersfs/"+doc)
	}
	for _, name := range want {
		if deb[name] == "" || rpm[name] == "" {
			t.Errorf("%s: %q in the deb, %q in the rpm", name, deb[name], rpm[name])
		}
	}
	if len(deb) != len(want)+2 || deb["/usr/share/doc/kheadersfs/changelog.Debian.gz"] == "" || deb["/usr/share/lintian/overrides/kheadersfs"] == "" {
		t.Errorf("the deb has other files: %v", deb)
	}
	if len(rpm) != len(want)+1 || rpm["/usr/share/licenses/kheadersfs/LICENSE"] == "" {
		t.Errorf("the rpm has other files: %v", rpm)
	}

	deb, rpm = listed(t, "dpkg-deb", "-c", one(t, first, "kheadersfs-dkms_*.deb")), listed(t, "rpm", "-qplv", one(t, first, "kheadersfs-dkms-*.rpm"))
	for _, name := range []string{"/usr/src/kheadersfs-0.91/COPYING", "/usr/src/kheadersfs-0.91/Kbuild", "/usr/src/kheadersfs-0.91/dkms.conf",
		"/usr/src/kheadersfs-0.91/dkms.sh", "/usr/src/kheadersfs-0.91/kheaders.c", "/etc/dkms/kheadersfs.conf"} {
		if deb[name] == "" || rpm[name] == "" {
			t.Errorf("%s: %q in the deb, %q in the rpm", name, deb[name], rpm[name])
		}
	}

	need.Command(t, "lintian")
	check(t, output(exec.Command("lintian", "--fail-on", "error,warning", "--allow-root",
		one(t, first, "kheadersfs_*.deb"), one(t, first, "kheadersfs-dkms_*.deb"))))
}

// listed returns the mode of each file of a package, and of the mount point, and fails
// unless all belong to root.
func listed(t testing.TB, command ...string) map[string]string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	check(t, err)
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		at := " /" // rpm's; dpkg's is relative
		if strings.Contains(line, " ./") {
			at = " ./"
		}
		if !regexp.MustCompile(` root[/ ]+root `).MatchString(line) {
			t.Error(line)
		}
		mode, _, _ := strings.Cut(line, " ")
		name, _, _ := strings.Cut(line[strings.Index(line, at)+len(at)-1:], " -> ")
		if name = strings.TrimSuffix(strings.TrimSpace(name), "/"); mode[0] != 'd' || name == "/usr/src/kheaders" {
			files[name] = mode
		}
	}
	return files
}

// one returns the file of a directory that a pattern matches.
func one(t testing.TB, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %q, %v", pattern, files, err)
	}
	return files[0]
}
