// SPDX-License-Identifier: Apache-2.0

package need

import (
	"os"
	"testing"
)

// Minutes begins the reason of a test that is skipped for the time it takes, as
// it may be on a CI machine too.
const Minutes = "needs minutes: "

// Slow goes on if KHEADERSFS_SLOW is set, as make test-slow does.
func Slow(t testing.TB) {
	t.Helper()
	if os.Getenv("KHEADERSFS_SLOW") == "" {
		t.Skip(Minutes + "set KHEADERSFS_SLOW=1")
	}
}

// Long goes on without -short, which make check gives: for what decodes or
// unpacks a whole kernel's headers, boots a machine, builds a module, or takes seconds.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip(Minutes + "left out by -short")
	}
}
