// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestStatfs looks for a mount that seems to be full: a filesystem with blocks of
// which none is free is CRITICAL for check_disk. Like procfs and sysfs a mount has
// no blocks at all, and what lists disks leaves it out.
func TestStatfs(t *testing.T) {
	mnt := mount(t, smallArchive(t))
	var st unix.Statfs_t
	check(t, unix.Statfs(mnt, &st))
	if st.Bsize != 4096 || st.Frsize != 4096 || st.Namelen != 255 ||
		st.Blocks != 0 || st.Bfree != 0 || st.Bavail != 0 || st.Files != 0 || st.Ffree != 0 {
		t.Errorf("%+v", st)
	}
	for _, args := range [][]string{{"--output=pcent"}, {"--output=ipcent"}} {
		out, err := exec.Command("df", append(args, mnt)...).Output()
		check(t, err)
		if fields := strings.Fields(string(out)); fields[len(fields)-1] != "-" {
			t.Errorf("df %v:\n%s", args, out)
		}
	}

	const checkDisk = "/usr/lib/nagios/plugins/check_disk"
	for _, command := range [][]string{
		{"df"},
		{"df", "-i"},
		{checkDisk, "-w", "10%", "-c", "5%", "-W", "10%", "-K", "5%"},
	} {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			_, err := exec.LookPath(command[0])
			need.That(t, err == nil, "%s, of Debian's monitoring-plugins-basic", command[0])
			// The exit status is about the other filesystems of this machine too.
			out, _ := exec.Command(command[0], command[1:]...).CombinedOutput()
			if len(out) == 0 || strings.Contains(string(out), mnt) {
				t.Errorf("%s", out)
			}
		})
	}
}

// TestDiskUsage adds up what the files of a tree take: their bytes, and the
// blocks of 512 bytes that hold these.
func TestDiskUsage(t *testing.T) {
	need.Command(t, "du")
	tree := smallTree(t)
	mnt := mount(t, pack(t, tree))
	bytes, blocks, dirs := 0, 0, 0
	seen := map[uint64]bool{} // hard links count once
	check(t, filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		check(t, err)
		var st unix.Stat_t
		check(t, unix.Lstat(path, &st))
		if !seen[st.Ino] {
			size := int(st.Size)
			if d.IsDir() {
				size = 4096
				dirs += size
			}
			bytes, blocks = bytes+size, blocks+(size+511)/512
			seen[st.Ino] = true
		}
		return nil
	}))
	// A newer du leaves directories out of apparent sizes.
	for flags, want := range map[string][2]int{"-sb": {bytes, bytes - dirs}, "-sB512": {blocks, blocks}} {
		cmd := exec.Command("du", flags, mnt)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, err := cmd.Output()
		check(t, err)
		if got, _, _ := strings.Cut(string(out), "\t"); got != strconv.Itoa(want[0]) && got != strconv.Itoa(want[1]) {
			t.Errorf("du %s: %s instead of one of %d", flags, got, want)
		}
	}
}
