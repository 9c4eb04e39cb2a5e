// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"maps"
	"path"
	"slices"
)

// hot are the headers that tracing programs start from, the most common first:
// bcc and bpftrace force kconfig.h on every program, and tools for processes,
// files, the network and disks begin with the next ones.
var hot = []string{
	"linux/kconfig.h", "linux/types.h", "linux/sched.h", "linux/fs.h", "net/sock.h", "linux/blkdev.h",
	"linux/ptrace.h", "linux/bpf.h", "linux/version.h", "linux/nsproxy.h", "linux/pid_namespace.h",
	"linux/sched/signal.h", "linux/sched/task.h", "linux/cred.h", "linux/cgroup.h", "linux/interrupt.h",
	"linux/workqueue.h", "linux/oom.h", "linux/mm_types.h", "linux/mm.h", "linux/slab.h", "linux/perf_event.h",
	"linux/kprobes.h", "linux/dcache.h", "linux/path.h", "linux/mount.h", "linux/uio.h", "linux/socket.h",
	"linux/skbuff.h", "net/inet_sock.h", "net/tcp.h", "linux/tcp.h", "linux/udp.h", "linux/ip.h", "linux/ipv6.h",
	"linux/netdevice.h", "linux/blk-mq.h", "linux/bio.h", "linux/tty.h",
}

// order returns the names of all members: those that one compile is likely to
// read lie together. First the include closure of the hot headers, depth first,
// in the order of inclusion; then the rest by path. Directives are looked at
// textually, whatever condition they stand under. content has all members that
// are files; links come with the rest.
func order(t *tree, content map[string][]byte) []string {
	o := &orderer{content: content, seen: map[string]bool{}}
	for _, dir := range []string{"arch/" + t.arch + "/include", "include"} {
		o.search = append(o.search, dir)
		if dir != "include" {
			o.search = append(o.search, dir+"/generated")
		}
	}
	for _, dir := range []string{"arch/" + t.arch + "/include", "include"} {
		o.search = append(o.search, dir+"/uapi", dir+"/generated/uapi")
	}
	for _, name := range hot {
		o.include("", name)
	}
	for _, name := range slices.Sorted(maps.Keys(t.members)) {
		if !o.seen[name] {
			o.names = append(o.names, name)
		}
	}
	return o.names
}

type orderer struct {
	content map[string][]byte
	search  []string // directories, as -I
	seen    map[string]bool
	names   []string
}

// include takes in what a file in dir gets with #include "name"; dir is empty
// for #include <name>.
func (o *orderer) include(dir, name string) {
	dirs := o.search
	if dir != "" {
		dirs = append([]string{dir}, dirs...)
	}
	for _, d := range dirs {
		file := path.Join(d, name)
		text, ok := o.content[file]
		if !ok {
			continue
		}
		if o.seen[file] {
			return
		}
		o.seen[file] = true
		o.names = append(o.names, file)
		for line := range bytes.Lines(text) {
			if name, quoted := directive(line); name != "" {
				from := ""
				if quoted {
					from = path.Dir(file)
				}
				o.include(from, name)
			}
		}
		return
	}
}

// directive returns the name in an #include line.
func directive(line []byte) (name string, quoted bool) {
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
