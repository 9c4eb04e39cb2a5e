// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// TestVM boots Debian's kernels with the module built for each, and has
// guest.sh load and mount it there.
func TestVM(t *testing.T) {
	need.Command(t, "qemu-system-x86_64", "busybox", "cpio", "depmod")
	for _, flavour := range kernels(t) {
		t.Run(flavour, func(t *testing.T) {
			kernel, built := builtModule(t, flavour)
			module := moduleSource(t, built)
			initrd := filepath.Join(t.TempDir(), "initrd")
			check(t, output(exec.Command("./initrd.sh", kernel, module, kheadersfs(t), initrd)))
			start := time.Now()
			console := boot(t, filepath.Join(kernel, "boot/vmlinuz-"+filepath.Base(kernel)), initrd)
			steps, log, _ := strings.Cut(console, "\nthe kernel says:\n")
			t.Logf("%.1f s\n%s", time.Since(start).Seconds(), steps)

			for _, step := range regexp.MustCompile(`(?m)^step '(.*?)'`).FindAllStringSubmatch(string(content(t, "guest.sh")), -1) {
				if !strings.Contains("\n"+steps, "\nok "+step[1]+" (") {
					t.Errorf("not ok: %s", step[1])
				}
			}
			if !strings.Contains(log, "\nthat is all\n") {
				t.Error("did not come to its end")
			}
			if bad := regexp.MustCompile(`(?m)^.*(WARNING|\bBUG\b|Oops|Call Trace|segfault).*$`).FindString(log); bad != "" {
				t.Errorf("in the kernel's log: %s", bad)
			}
			if t.Failed() {
				t.Log(log)
			}
		})
	}
}

// boot runs a virtual machine to its end, and returns what it printed.
func boot(t testing.TB, kernel, initrd string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	var console bytes.Buffer
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1G",
		"-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet loglevel=1 panic=-1")
	cmd.Stdout, cmd.Stderr = &console, &console
	err := cmd.Run()
	text := strings.ReplaceAll(console.String(), "\r\n", "\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return text
}
