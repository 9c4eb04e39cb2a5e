// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// settled is how long after a full read the memory of a process no longer changes.
const settled = 2 * time.Second

// memory measures the memory of a mount, in MiB: of the process that serves it, and of
// the kernel.
func (p pass) memory() error {
	if p.round == 0 || p.round > few {
		return nil
	}
	if err := dropCaches(); err != nil {
		return err
	}
	if err := p.warmPrograms(); err != nil {
		return err
	}
	before, err := kernelMemory()
	if err != nil {
		return err
	}
	note := func(column string, kib int64) {
		p.res.add(cell{column, p.s.name}, p.round, float64(kib)/1024)
	}
	return p.with(p.s, func(dir string, _ time.Duration) error {
		pids := servers(dir)
		if len(pids) == 1 {
			kib, err := field(fmt.Sprintf("/proc/%d/status", pids[0]), "VmHWM")
			if err != nil {
				return err
			}
			note(peak, kib)
		}
		err := p.promising(coldRead)
		if err == nil {
			_, err = p.timed(dir, "sh", "-c", readAll)
		}
		if err != nil {
			return errors.Join(p.note(steady, 0, err), p.note(kernelMiB, 0, err))
		}
		if len(pids) == 1 {
			time.Sleep(settled)
			kib, err := field(fmt.Sprintf("/proc/%d/status", pids[0]), "VmRSS")
			if err != nil {
				return err
			}
			note(steady, kib)
		}
		after, err := kernelMemory()
		note(kernelMiB, after-before)
		return err
	})
}

// kernelMemory returns what the kernel keeps for files, in KiB: pages of devices
// and of files (those of a tmpfs too), names and inodes, and its own objects.
func kernelMemory() (int64, error) {
	sum := int64(0)
	for _, name := range []string{"Buffers", "Cached", "SReclaimable", "SUnreclaim"} {
		kib, err := field("/proc/meminfo", name)
		if err != nil {
			return 0, err
		}
		sum += kib
	}
	return sum, nil
}

// field returns a number of a file in /proc, in KiB.
func field(path, name string) (kib int64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			_, err := fmt.Sscan(rest, &kib)
			return kib, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
