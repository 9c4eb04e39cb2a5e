// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// An event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// report prints what go test without -v prints, and collects the tests that were
// skipped.
type report struct {
	w       io.Writer
	outputs map[testName][]string // of tests that have not ended
	skips   map[string][]testName // by the reason
}

type testName struct{ pkg, test string }

func (n testName) String() string { return n.pkg + " " + n.test }

func (r *report) read(events io.Reader) error {
	r.outputs, r.skips = map[testName][]string{}, map[string][]testName{}
	for lines := json.NewDecoder(events); ; {
		var e event
		err := lines.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading what go test -json prints: %w", err)
		}
		r.add(e)
	}
}

func (r *report) add(e event) {
	name := testName{e.Package, e.Test}
	switch {
	case e.Action == "build-output", e.Action == "output" && e.Test == "" && e.Output != "PASS\n":
		io.WriteString(r.w, e.Output)
	case e.Action == "output":
		r.outputs[name] = append(r.outputs[name], e.Output)
	case e.Test == "":
		// A test binary that is killed doesn't say what became of its tests.
		for name := range r.outputs {
			if name.pkg == e.Package && e.Action == "fail" {
				r.print(name)
			}
		}
	case e.Action == "skip":
		reason := reasonOf(r.outputs[name])
		r.skips[reason] = append(r.skips[reason], name)
		delete(r.outputs, name)
	case e.Action == "fail":
		r.print(name)
	case e.Action == "pass":
		delete(r.outputs, name)
	}
}

// print prints what a test has printed.
func (r *report) print(name testName) {
	for _, line := range r.outputs[name] {
		if !strings.HasPrefix(line, "=== ") {
			io.WriteString(r.w, line)
		}
	}
	delete(r.outputs, name)
}

var logged = regexp.MustCompile(`^ +\S+\.go:\d+: (.*)`)

// reasonOf returns the first line of what a test has logged last: t.Skip comes
// last.
func reasonOf(output []string) string {
	reason := "no reason given"
	for _, line := range output {
		if m := logged.FindStringSubmatch(line); m != nil {
			reason = m[1]
		}
	}
	return reason
}

// skipped prints which tests were skipped and why.
func (r *report) skipped() {
	n := 0
	for _, names := range r.skips {
		n += len(names)
	}
	if n == 0 {
		return
	}
	fmt.Fprintf(r.w, "\n%d tests were skipped:\n", n)
	var reasons []string
	for reason := range r.skips {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintln(r.w, reason)
		for _, name := range r.skips[reason] {
			fmt.Fprintf(r.w, "\t%s\n", name)
		}
	}
}

// avoidable counts the tests that a CI machine would not have skipped.
func (r *report) avoidable() (n int) {
	for reason, names := range r.skips {
		if !strings.HasPrefix(reason, need.Minutes) {
			n += len(names)
		}
	}
	return n
}
