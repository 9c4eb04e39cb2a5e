// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestWarmPass does the same again and again, and counts the requests after the
// first pass: there are none but STATFS and LISTXATTR (ls -l of Debian 13), which
// the kernel never answers by itself. The kernel may drop pages at any time for
// lack of memory, or because it was told to (DAMON), so one pass of twelve without
// a request is enough.
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
			requests := regexp.MustCompile(`(?m)^kheadersfs: rx \d+: (\w+) .*`)
			passes := regexp.MustCompile(`(?m)^end of pass \d$`).Split(string(content(t, filepath.Join(dir, "log"))), -1)
			if first := requests.FindAllString(passes[0], -1); len(first) < 5000 {
				t.Fatalf("only %d requests were logged", len(first))
			}
			var sent []string
			for _, pass := range passes[1 : len(passes)-1] {
				sent = nil
				for _, r := range requests.FindAllStringSubmatch(pass, -1) {
					switch r[1] {
					case "STATFS", "LISTXATTR", "FORGET", "BATCH_FORGET":
					default:
						sent = append(sent, r[0])
					}
				}
				if len(sent) == 0 {
					return
				}
			}
			t.Errorf("no pass without a request; in the last one:\n%s", strings.Join(sent, "\n"))
		})
	}
}
