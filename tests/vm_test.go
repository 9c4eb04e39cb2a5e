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

// TestVM boots Debian's kernels with the module built for each, and has guest.sh load and
// mount it there, and load modules that were built against such a mount. Virtual machines, and
// tests that build much, run two at a time, when all other tests are done: each has one
// processor busy.
func TestVM(t *testing.T) {
	t.Parallel()
	need.Command(t, "qemu-system-x86_64", "busybox", "cpio", "depmod")
	for _, flavour := range kernels(t) {
		t.Run(flavour, func(t *testing.T) {
			t.Parallel()
			kernel, built := builtModule(t, flavour)
			module := moduleSource(t, built)
			_, kbuild := kbuildArchive(t, flavour)
			mnt, modules, initrd := mount(t, kbuild), t.TempDir(), filepath.Join(t.TempDir(), "initrd")
			writeModules(t, modules)
			makeExternal(t, mnt, filepath.Join(modules, "several"))
			makeExternal(t, mnt, filepath.Join(modules, "uses"), extraSymbols(modules))
			check(t, output(exec.Command("./initrd.sh", kernel, module, kheadersfs(t), kbuild, modules, initrd)))
			bootSteps(t, "guest.sh", filepath.Join(kernel, "boot/vmlinuz-"+filepath.Base(kernel)), initrd)
		})
	}
}

// TestSystemd boots Debian's kernels with systemd, and has systemd-guest.sh start, kill and
// replace its units there.
func TestSystemd(t *testing.T) {
	t.Parallel()
	bootDebian(t, kernels(t), "systemd-guest.sh", "coreutils", "dash", "grep", "procps", "sed", "systemd", "util-linux")
}

// TestProbe boots the kernel that belongs to this Debian's bcc and bpftrace, and has
// probe-guest.sh attach probes that need headers.
func TestProbe(t *testing.T) {
	t.Parallel()
	bootDebian(t, []string{"cloud-amd64"}, "probe-guest.sh", "bpfcc-tools", "bpftrace", "coreutils", "grep")
}

// bootDebian boots Debian's kernels, each with its module and with packages of Debian, and
// has a script run there.
func bootDebian(t *testing.T, flavours []string, script string, packages ...string) {
	t.Helper()
	need.Long(t)
	need.Command(t, "qemu-system-x86_64", "apt-get", "dpkg-deb", "cpio", "depmod", "make")
	for _, flavour := range flavours {
		t.Run(flavour, func(t *testing.T) {
			t.Parallel()
			kernel, built := builtModule(t, flavour)
			module := moduleSource(t, built)
			initrd := filepath.Join(t.TempDir(), "initrd")
			dir := filepath.Join("out", strings.TrimSuffix(script, ".sh"))
			args := append([]string{kernel, module, kheadersfs(t), script, dir, initrd}, packages...)
			check(t, output(exec.Command("./debian-initrd.sh", args...)))
			resend := "1"
			if strings.HasPrefix(filepath.Base(kernel), "6.1.") { // FUSE_NOTIFY_RESEND is of Linux 6.9
				resend = "0"
			}
			bootSteps(t, script, filepath.Join(kernel, "boot/vmlinuz-"+filepath.Base(kernel)), initrd,
				"systemd.unit=guest.target", "systemd.setenv=RESEND="+resend, "systemd.show_status=no")
		})
	}
}

// bootSteps boots a virtual machine, in which a script runs steps.
func bootSteps(t *testing.T, script, kernel, initrd string, words ...string) {
	t.Helper()
	start := time.Now()
	console := boot(t, kernel, initrd, words...)
	steps, log, _ := strings.Cut(console, "\nthe kernel says:\n")
	t.Logf("%.1f s\n%s", time.Since(start).Seconds(), steps)
	for _, step := range regexp.MustCompile(`(?m)^step '(.*?)'`).FindAllStringSubmatch(string(content(t, script)), -1) {
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
}

// boot runs a virtual machine to its end, with more words on its kernel's command line, and
// returns what it printed.
func boot(t testing.TB, kernel, initrd string, words ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	var console bytes.Buffer
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "3G",
		"-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-kernel", kernel, "-initrd", initrd, "-append", strings.Join(append(words, "console=ttyS0 quiet loglevel=1 panic=-1"), " "))
	cmd.Stdout, cmd.Stderr = &console, &console
	err := cmd.Run()
	text := strings.ReplaceAll(console.String(), "\r\n", "\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return text
}
