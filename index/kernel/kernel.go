// SPDX-License-Identifier: Apache-2.0

// Package kernel holds what is known about every kernel's headers: where the release
// stands, which directories programs include from, and which headers they read first.
package kernel

import "strings"

// ReleaseFile is the header that has the kernel's release.
const ReleaseFile = "include/generated/utsrelease.h"

// ConfigFile is the header that every program for the kernel includes first: it brings
// the kernel's configuration.
const ConfigFile = "include/linux/kconfig.h"

// ParseRelease returns the release in the text of ReleaseFile, and nothing if there
// is none.
func ParseRelease(text []byte) string {
	_, rest, _ := strings.Cut(string(text), "#define UTS_RELEASE \"")
	release, _, ok := strings.Cut(rest, "\"")
	if !ok {
		return ""
	}
	return release
}

// IncludeDirs returns the directories that programs for the kernel include headers
// from, in the order of the kernel's own build (LINUXINCLUDE and USERINCLUDE of the
// top Makefile) and of bcc and bpftrace. arch is the kernel's name of the processor,
// as in the directory arch/.
func IncludeDirs(arch string) []string {
	arch = "arch/" + arch + "/include"
	return []string{
		arch, arch + "/generated", "include",
		arch + "/uapi", arch + "/generated/uapi", "include/uapi", "include/generated/uapi",
	}
}
