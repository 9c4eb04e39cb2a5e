// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"log"
	"os"
	"strings"

	"github.com/kheadersfs/kheadersfs/fs"
)

// The names that compilers look up first are looked up by a child of the server, so that the
// kernel has them when the first compiler comes: the server can give pages to the kernel, but
// no names. It must not wait for its own answers, or it could not be frozen for a suspend.

// lookUpNames starts the child.
func (m *mounted) lookUpNames(logger *log.Logger) {
	paths := m.tree.Lookups()
	if len(paths) == 0 || fs.IsHandedOver(m.dir) {
		return
	}
	if err := m.startLookUp(paths); err != nil {
		logger.Printf("warning: looking up names of headers: %v", err)
	}
}

func (m *mounted) startLookUp(paths []string) error {
	root, private, err := m.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	exe, err := executable()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	child, err := os.StartProcess(exe, []string{"kheadersfs", "--look-up"}, &os.ProcAttr{Files: []*os.File{r, nil, nil, root}})
	r.Close()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, strings.Join(paths, "\x00"))
	w.Close()
	if private {
		go child.Wait()
	} else {
		child.Wait() // until then the mount is busy
	}
	return err
}

// lookUp is what the child does.
func lookUp() error {
	paths, err := io.ReadAll(os.Stdin)
	if err == nil && len(paths) > 0 {
		fs.LookUp(os.NewFile(3, "mount"), strings.Split(string(paths), "\x00"))
	}
	return err
}
