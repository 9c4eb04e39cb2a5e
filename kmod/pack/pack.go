// SPDX-License-Identifier: Apache-2.0

// Package pack makes an archive of kernel headers that can be read block by
// block: an ordinary .tar.xz, cut at the boundaries of files, with the headers
// that tracing programs read next to each other, and with an index of itself
// (kheadersfs-archive(5)). The kernel module in the directory above carries it.
package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kheadersfs/kheadersfs/index/kernel"
	"github.com/kheadersfs/kheadersfs/index/table"
	"github.com/kheadersfs/kheadersfs/index/tarball"
)

// DefaultBlockSize is what the benchmarks found best: see docs/benchmarks.md.
const DefaultBlockSize = 512 << 10

// Options say how to pack.
type Options struct {
	Objtree      string    // where the kernel was built, if not in the tree itself
	Kbuild       bool      // pack all that modules are built with
	BTF          bool      // with Kbuild, also what they get BTF from
	KeepComments bool      // keep all comments
	BlockSize    int       // most bytes of a block; 0: DefaultBlockSize
	Jobs         int       // processors to use; 0: all
	Epoch        time.Time // what is newer gets this time; zero: nothing does
	Progress     func(done, total int64)
}

// Pack packs the tree, or the headers archive, at the path from, and writes it to w.
// The same files, times, Encoder and options, whatever Jobs is, give the same bytes.
func Pack(ctx context.Context, w io.Writer, from string, o Options) error {
	if o.BlockSize == 0 {
		o.BlockSize = DefaultBlockSize
	}
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	var t *tree
	if st.IsDir() {
		t, err = readTree(from, o)
	} else {
		// Comments were removed, or kept, when the archive was made.
		o.KeepComments = true
		t, err = readArchive(from)
	}
	if err != nil {
		return err
	}
	b := newBuilder(o.BlockSize)
	if err := b.build(t, o); err != nil {
		return err
	}
	return compress(ctx, w, b.tar.Bytes(), b.blocks, o)
}

// maxIndex is the size of the largest index: bsdtar and Go read no larger pax header.
const maxIndex = 1<<20 - 64

// A builder writes the tar to memory, and remembers its blocks.
type builder struct {
	tar     bytes.Buffer // of complete blocks
	blocks  []int        // their sizes
	w       *tarball.Writer
	table   *table.Builder
	content hash.Hash // of the data of all files
	hot     int64     // where the hot files end in the tar
}

func newBuilder(blockSize int) *builder {
	b := &builder{table: table.NewBuilder(), content: sha256.New()}
	b.w = tarball.NewWriter(blockSize, func(block []byte) error {
		b.blocks = append(b.blocks, len(block))
		b.tar.Write(block)
		return nil
	})
	return b
}

func (b *builder) build(t *tree, o Options) error {
	content := map[string][]byte{}
	newest := time.Unix(0, 0)
	for _, name := range slices.Sorted(maps.Keys(t.members)) {
		m := t.members[name]
		if !o.Epoch.IsZero() && m.mtime.After(o.Epoch) {
			m.mtime = o.Epoch
		}
		m.mtime = m.mtime.Truncate(time.Second) // all that a tar holds
		if m.mtime.After(newest) {
			newest = m.mtime
		}
		if m.target != "" {
			continue
		}
		data, err := m.read()
		if err != nil {
			return err
		}
		switch {
		case o.KeepComments || !strings.HasSuffix(name, ".h"):
		case o.Kbuild:
			data = stripLines(data)
		default:
			data = stripComments(data)
		}
		content[name] = data
	}

	for _, dir := range directories(t) {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: "./" + dir + "/", Mode: 0o755, ModTime: newest}
		if err := b.add(h, nil); err != nil {
			return err
		}
	}
	names, n := kernel.Order(slices.Collect(maps.Keys(t.members)), t.arch, func(name string, limit int) (int, []kernel.Include, bool) {
		data, ok := content[name]
		if !ok || len(data) > limit {
			return 0, nil, false
		}
		return len(data), kernel.Includes(data), true
	})
	isHot := map[string]bool{}
	for _, name := range names[:n] {
		isHot[name] = true
	}
	names = lastIsFile(names, content)
	for i, name := range names {
		if i == len(names)-1 {
			break
		}
		if !isHot[name] && b.hot == 0 {
			b.hot = b.w.Len()
		}
		if err := b.add(header(t.members[name], content[name]), content[name]); err != nil {
			return err
		}
	}
	last := names[len(names)-1]
	return b.end(header(t.members[last], content[last]), content[last])
}

// directories returns all directories of the members, parents first.
func directories(t *tree) []string {
	all := map[string]bool{}
	for name := range t.members {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			all[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// lastIsFile moves a file to the end, where it shares the last block of the
// archive with the index. It is a small one with a short name, since that block is
// decoded to open the archive. The header with the kernel's release is best: it is
// read whenever the archive is opened.
func lastIsFile(names []string, content map[string][]byte) []string {
	const small = 16 << 10
	best := -1
	for i, name := range slices.Backward(names) {
		data, ok := content[name]
		if !ok || len(name) >= 90 {
			continue
		}
		if name == kernel.ReleaseFile && len(data) <= small {
			best = i
			break
		}
		// Else the last small one, or the smallest of large ones.
		if best < 0 || len(content[names[best]]) > max(small, len(data)) {
			best = i
		}
	}
	if best < 0 {
		return names
	}
	last := names[best]
	return append(slices.Delete(names, best, best+1), last)
}

func header(m *member, data []byte) *tar.Header {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: "./" + m.name, Mode: 0o644, ModTime: m.mtime, Size: int64(len(data))}
	if m.target != "" {
		h.Typeflag, h.Mode, h.Linkname = tar.TypeSymlink, 0o777, m.target
	} else if m.mode&0o111 != 0 && !strings.HasSuffix(m.name, ".h") {
		h.Mode = 0o755
	}
	return h
}

// add writes a member.
func (b *builder) add(h *tar.Header, data []byte) error {
	off, err := b.w.Add(h, bytes.NewReader(data))
	if err != nil {
		return err
	}
	b.content.Write(data)
	if err := b.table.Add(h, off); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// end writes the index and the last member, in a block of their own.
func (b *builder) end(h *tar.Header, data []byte) error {
	if err := b.w.Last(); err != nil {
		return err
	}
	b.content.Write(data)
	hash := [32]byte(b.content.Sum(nil))
	// Where the last member's data lies depends on the size of the index, but not
	// the other way around.
	draft, err := b.index(h, 0, hash)
	if err != nil {
		return err
	}
	before, err := b.w.HeaderSize(draft)
	if err != nil {
		return err
	}
	size, err := b.w.HeaderSize(h)
	if err != nil {
		return err
	}
	index, err := b.index(h, b.w.Len()+before+size, hash)
	if err != nil {
		return err
	}
	if _, err := b.w.Add(index, nil); err != nil {
		return err
	}
	if _, err := b.w.Add(h, bytes.NewReader(data)); err != nil {
		return err
	}
	return b.w.Close()
}

// index returns the global header that holds the index, with the last member's data at
// the given offset.
func (b *builder) index(last *tar.Header, off int64, hash [32]byte) (*tar.Header, error) {
	// Adding a name again replaces the file.
	if err := b.table.Add(last, off); err != nil {
		return nil, fmt.Errorf("%s: %w", last.Name, err)
	}
	x := table.Index{Table: b.table.Table(), Hash: hash, Hot: b.hot}
	index := x.Encode()
	if len(index) > maxIndex {
		return nil, fmt.Errorf("index of %d entries exceeds %d bytes", x.Len(), maxIndex)
	}
	return &tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": string(index)}}, nil
}
