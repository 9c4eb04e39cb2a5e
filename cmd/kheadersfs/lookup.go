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

// lookUpNames has a child look up the names of headers. It returns before that, unless the
// child keeps the mount from being unmounted. This process was started in a directory.
func (m *mounted) lookUpNames(directory string, logger *log.Logger) {
	if fs.IsHandedOver(m.dir) {
		return
	}
	root, private, err := m.Root()
	if err != nil {
		logger.Printf("warning: looking up names of headers: %v", err)
		return
	}
	program, _ := programIn(directory)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer root.Close()
		if err := startLookUp(program, root, m.tree.Lookups()); err != nil {
			logger.Printf("warning: looking up names of headers: %v", err)
		}
	}()
	if !private {
		<-done
	}
}

// startLookUp returns when the child has ended.
func startLookUp(program string, root *os.File, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	child, err := startProgram(program, []string{"kheadersfs", "--look-up"}, &os.ProcAttr{Files: []*os.File{r, nil, nil, root}})
	r.Close()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, strings.Join(paths, "\x00"))
	w.Close()
	child.Wait()
	return err
}

// lookUp is what the child does.
func lookUp() error {
	root := os.NewFile(3, "mount")
	defer root.Close()
	paths, err := io.ReadAll(os.Stdin)
	if err == nil && len(paths) > 0 {
		fs.LookUp(root, strings.Split(string(paths), "\x00"))
	}
	return err
}
