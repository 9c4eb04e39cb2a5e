// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestWarmPass does the same again and again, and looks for a request that each pass after
// the first needs: there is none but STATFS and LISTXATTR (ls -l of Debian 13), which the
// kernel never answers by itself. It may drop any page at any time, for lack of memory or
// because it was told to (DAMON), but not the same one each time.
func TestWarmPass(t *testing.T) {
	needMounts(t)
	need.Command(t, "clang")
	for name, archive := range map[string]string{"stock": stockArchive(t), "packed": packedArchive(t)} {
		t.Run(name, func(t *testing.T) {
			dir := worldReadable(t)
			source := filepath.Join(dir, "prog.c")
			check(t, os.WriteFile(source, []byte(programs["A"]+programs["B"]), 0o644))
			inNamespace(t, []string{"warm.sh"},
				"EXE="+kheadersfs(t), "ARCHIVE="+archive, "MNT="+mountpoint(t), "DIR="+dir)
			// The operation, the node, and the name that is looked up.
			requests := regexp.MustCompile(`(?m)^kheadersfs: rx \d+: ((\w+) n\d+(?: \[.*\])?)`)
			passes := regexp.MustCompile(`(?m)^end of pass \d$`).Split(string(content(t, filepath.Join(dir, "log"))), -1)
			if first := requests.FindAllString(passes[0], -1); len(first) < 600 { // each of 320 directories is listed
				t.Fatalf("only %d requests were logged", len(first))
			}
			var always map[string]bool
			for _, pass := range passes[1 : len(passes)-1] {
				sent := map[string]bool{}
				for _, r := range requests.FindAllStringSubmatch(pass, -1) {
					switch r[2] {
					case "STATFS", "LISTXATTR", "FORGET", "BATCH_FORGET":
					default:
						sent[r[1]] = always == nil || always[r[1]]
					}
				}
				maps.DeleteFunc(sent, func(_ string, was bool) bool { return !was })
				always = sent
			}
			if len(passes) < 3 || len(always) > 0 {
				t.Errorf("%d passes, and each needs %q", len(passes)-1, slices.Sorted(maps.Keys(always)))
			}
		})
	}
}
