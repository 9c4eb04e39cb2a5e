// SPDX-License-Identifier: Apache-2.0

package need

import (
	"os"
	"testing"
)

// Slow goes on if KHEADERSFS_SLOW is set, as make test-slow does. Tests that
// take minutes are skipped without it on a CI machine too.
func Slow(t testing.TB) {
	t.Helper()
	if os.Getenv("KHEADERSFS_SLOW") == "" {
		t.Skip("needs minutes: set KHEADERSFS_SLOW=1")
	}
}
