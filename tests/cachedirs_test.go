// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

// TestCacheDirs finds the file where root and ordinary users have theirs.
func TestCacheDirs(t *testing.T) {
	needMount8(t)
	archive := smallArchive(t)
	hash := fmt.Sprintf("%x", sha256.Sum256(content(t, archive)))
	eachIn(t, "cachedirs.sh", func(t *testing.T, script []string) {
		inNamespace(t, script, "EXE="+kheadersfs(t), "ARCHIVE="+archive, "HASH="+hash, "MNT="+mountpoint(t), "DIR="+worldReadable(t))
	})
}
