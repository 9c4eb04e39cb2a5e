// SPDX-License-Identifier: Apache-2.0

// Package hot tells which headers programs are likely to read, and in which
// order: an archive whose files lie in that order has little of it decoded.
package hot

import (
	"bytes"
	"path"
	"slices"
)

// Limits on what is hot. Of a kernel's headers 900 files are, 5 MB together.
const (
	maxFiles      = 4096
	maxBytes      = 16 << 20
	maxDirectives = 1 << 18
)

// roots are the headers that tracing programs start from, the most common first:
// bcc and bpftrace force kconfig.h on every program, and tools for processes,
// files, the network and disks begin with the next ones.
var roots = []string{
	"linux/kconfig.h", "linux/types.h", "linux/sched.h", "linux/fs.h", "net/sock.h", "linux/blkdev.h",
	"linux/ptrace.h", "linux/bpf.h", "linux/version.h", "linux/nsproxy.h", "linux/pid_namespace.h",
	"linux/sched/signal.h", "linux/sched/task.h", "linux/cred.h", "linux/cgroup.h", "linux/interrupt.h",
	"linux/workqueue.h", "linux/oom.h", "linux/mm_types.h", "linux/mm.h", "linux/slab.h", "linux/perf_event.h",
	"linux/kprobes.h", "linux/dcache.h", "linux/path.h", "linux/mount.h", "linux/uio.h", "linux/socket.h",
	"linux/skbuff.h", "net/inet_sock.h", "net/tcp.h", "linux/tcp.h", "linux/udp.h", "linux/ip.h", "linux/ipv6.h",
	"linux/netdevice.h", "linux/blk-mq.h", "linux/bio.h", "linux/tty.h",
}

// Order returns the given names: those that one compile is likely to read lie
// together. First, as many as hot tells, the include closure of the hot headers,
// depth first, in the order of inclusion; then the rest by path. Directives are
// looked at textually, whatever condition they stand under. arch is as in the
// directory arch/; read returns the bytes of a file, which are looked at only until
// it is called again: nothing for what is none, or has more than limit bytes.
func Order(names []string, arch string, read func(name string, limit int) (data []byte, ok bool)) (ordered []string, hot int) {
	o := &orderer{read: read, seen: map[string]bool{}}
	for _, dir := range []string{"arch/" + arch + "/include", "include"} {
		o.search = append(o.search, dir)
		if dir != "include" {
			o.search = append(o.search, dir+"/generated")
		}
	}
	for _, dir := range []string{"arch/" + arch + "/include", "include"} {
		o.search = append(o.search, dir+"/uapi", dir+"/generated/uapi")
	}
	for _, name := range roots {
		o.include("", name)
	}
	hot = len(o.names)
	for _, name := range slices.Sorted(slices.Values(names)) {
		if !o.seen[name] {
			o.names = append(o.names, name)
		}
	}
	return o.names, hot
}

type orderer struct {
	read       func(name string, limit int) ([]byte, bool)
	search     []string        // directories, as -I
	seen       map[string]bool // all that were asked for; true for those that are hot
	names      []string
	bytes      int // of those
	directives int
}

// include takes in what a file in dir gets with #include "name"; dir is empty
// for #include <name>.
func (o *orderer) include(dir, name string) {
	if o.directives++; o.directives > maxDirectives {
		return
	}
	dirs := o.search
	if dir != "" {
		dirs = append([]string{dir}, dirs...)
	}
	for _, d := range dirs {
		file := path.Join(d, name)
		if hot, known := o.seen[file]; hot {
			return
		} else if known {
			continue
		}
		o.seen[file] = false
		if len(o.names) == maxFiles {
			return
		}
		text, ok := o.read(file, maxBytes-o.bytes)
		if !ok {
			continue
		}
		o.seen[file] = true
		o.names = append(o.names, file)
		o.bytes += len(text)
		for _, d := range directives(text) {
			from := ""
			if d.quoted {
				from = path.Dir(file)
			}
			o.include(from, d.name)
		}
		return
	}
}

// A directive is an #include.
type directive struct {
	name   string
	quoted bool
}

// directives returns those in a file.
func directives(text []byte) []directive {
	var ds []directive
	for line := range bytes.Lines(text) {
		if name, quoted := include(line); name != "" {
			ds = append(ds, directive{name, quoted})
		}
	}
	return ds
}

// include returns the name in an #include line.
func include(line []byte) (name string, quoted bool) {
	line, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("#"))
	if !ok {
		return "", false
	}
	line, ok = bytes.CutPrefix(bytes.TrimSpace(line), []byte("include"))
	line = bytes.TrimSpace(line)
	if !ok || len(line) < 3 {
		return "", false
	}
	end := byte('>')
	switch line[0] {
	case '<':
	case '"':
		end, quoted = '"', true
	default:
		return "", false
	}
	n := bytes.IndexByte(line[1:], end)
	if n < 0 {
		return "", false
	}
	return string(line[1:][:n]), quoted
}
