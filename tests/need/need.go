// SPDX-License-Identifier: Apache-2.0

// Package need lets tests say what they require. Where it is missing the test is
// skipped, except on a CI machine (where CI is set), which has all of it: a skip there
// would hide that nothing was tested.
package need

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// That goes on if ok.
func That(t testing.TB, ok bool, what string, args ...any) {
	t.Helper()
	switch what = fmt.Sprintf(what, args...); {
	case ok:
	case os.Getenv("CI") != "":
		t.Fatal("needs " + what)
	default:
		t.Skip("needs " + what)
	}
}

// Command goes on if all of the commands are installed.
func Command(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := exec.LookPath(name)
		That(t, err == nil, "the command %s", name)
	}
}

// Filter runs a command over data, and returns what it prints.
func Filter(t testing.TB, data []byte, name string, args ...string) []byte {
	t.Helper()
	Command(t, name)
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, &stderr)
	}
	return out
}
