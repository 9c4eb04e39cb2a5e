// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"path"
	"slices"
)

// Limits on what is hot. Of a kernel's headers 900 files are, 5 MB together.
const (
	MaxHotFiles   = 4096
	MaxHotBytes   = 16 << 20
	MaxDirectives = 1 << 18 // #include lines that are followed
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

// Order returns the given names in the order in which an archive holds them best:
// those that one compile is likely to read lie together. The first ones, hot of
// them, are the include closure of the roots, depth first, in the order of inclusion;
// the others follow by path. arch is as in IncludeDirs. read returns the size of a file, in
// bytes, and its #include lines; ok is false for what is no file or has more than limit bytes.
func Order(names []string, arch string, read func(name string, limit int) (size int, lines []Include, ok bool)) (ordered []string, hot int) {
	o := &orderer{read: read, search: IncludeDirs(arch), seen: map[string]bool{}}
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
	read       func(name string, limit int) (int, []Include, bool)
	search     []string
	seen       map[string]bool // all that read was called with; true for hot ones
	names      []string
	bytes      int // of those
	directives int
}

// include adds the file that #include "name" means in a file of dir, and what that
// includes. dir is empty for #include <name>.
func (o *orderer) include(dir, name string) {
	if o.directives++; o.directives > MaxDirectives {
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
		if len(o.names) == MaxHotFiles {
			return
		}
		size, lines, ok := o.read(file, MaxHotBytes-o.bytes)
		if !ok {
			continue
		}
		o.seen[file] = true
		o.names = append(o.names, file)
		o.bytes += size
		for _, line := range lines {
			from := ""
			if line.Quoted {
				from = path.Dir(file)
			}
			o.include(from, line.Name)
		}
		return
	}
}
