// SPDX-License-Identifier: Apache-2.0

// Package pack makes an archive of kernel headers that can be read block by
// block: an ordinary .tar.xz, cut at the boundaries of files, with the headers
// that tracing programs read next to each other, and with an index of itself
// (docs/format.md). The kernel module in the directory above carries it.
package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/hot"
)

// DefaultBlockSize is what the benchmarks found best: see docs/benchmarks.md.
const DefaultBlockSize = 512 << 10

// Options tell how to pack.
type Options struct {
	Objtree      string    // where the kernel was built, if not in the tree itself
	KeepComments bool      // keep all comments
	BlockSize    int       // most bytes of a block; 0: DefaultBlockSize
	Jobs         int       // processors to use; 0: all
	Epoch        time.Time // what is newer gets this time; zero: nothing does
	Progress     func(done, total int64)
}

// Pack packs the tree, or the headers archive, at the path from to w. The same
// files, times, options but for Jobs, and Encoder give the same bytes.
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
		t, err = readTree(from, o.Objtree)
	} else {
		// Whoever made the archive has stripped what there was to strip.
		o.KeepComments = true
		t, err = readArchive(from)
	}
	if err != nil {
		return err
	}
	b := &tarBuilder{size: o.BlockSize, index: index.NewIndexer(), content: sha256.New()}
	if err := b.build(t, o); err != nil {
		return err
	}
	return compress(ctx, w, b.tar.Bytes(), b.blocks, o)
}

// A tarBuilder writes the tar to memory, and notes where it is to be cut.
type tarBuilder struct {
	tar     bytes.Buffer
	w       *tar.Writer
	size    int   // most bytes of a block
	blocks  []int // sizes of the blocks that are complete
	start   int   // of the block that is not, in tar
	index   *index.Indexer
	content hash.Hash // of all data
	hot     int64     // where the hot files end in the tar
}

func (b *tarBuilder) build(t *tree, o Options) error {
	content := map[string][]byte{}
	newest := time.Unix(0, 0)
	for _, name := range slices.Sorted(maps.Keys(t.members)) {
		m := t.members[name]
		if !o.Epoch.IsZero() && m.mtime.After(o.Epoch) {
			m.mtime = o.Epoch
		}
		m.mtime = m.mtime.Truncate(time.Second) // all that a tar tells
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
		if !o.KeepComments && strings.HasSuffix(name, ".h") {
			data = StripComments(data)
		}
		content[name] = data
	}

	b.w = tar.NewWriter(&b.tar)
	for _, dir := range directories(t) {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: "./" + dir + "/", Mode: 0o755, ModTime: newest}
		if err := b.add(h, nil); err != nil {
			return err
		}
	}
	names, n := hot.Order(slices.Collect(maps.Keys(t.members)), t.arch, func(name string, limit int) ([]byte, bool) {
		data, ok := content[name]
		return data, ok && len(data) <= limit
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
			b.hot = int64(b.tar.Len())
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
// archive with the index: one with a short name, whose header takes one block of
// the tar, and a small one, since that block is decoded to open the archive. The
// one that tells the kernel's release is best: who opens the archive looks at it.
func lastIsFile(names []string, content map[string][]byte) []string {
	const small = 16 << 10
	best := -1
	for i, name := range slices.Backward(names) {
		data, ok := content[name]
		if !ok || len(name) >= 90 {
			continue
		}
		if name == "include/generated/utsrelease.h" && len(data) <= small {
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
	}
	return h
}

// add writes a member, in a block of its own where the last one has no room.
func (b *tarBuilder) add(h *tar.Header, data []byte) error {
	start := b.used()
	if err := b.w.WriteHeader(h); err != nil {
		return err
	}
	padded := (len(data) + 511) &^ 511
	if start > 0 && b.used()+padded > b.size {
		b.cut(start)
	}
	if err := b.index.Add(h, int64(b.tar.Len())); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	b.content.Write(data)
	if _, err := b.w.Write(data); err != nil {
		return err
	}
	if err := b.w.Flush(); err != nil { // pads it
		return err
	}
	for b.used() > b.size {
		b.cut(b.size)
	}
	return nil
}

// used is the size of the block that is not complete.
func (b *tarBuilder) used() int { return b.tar.Len() - b.start }

func (b *tarBuilder) cut(size int) {
	b.blocks = append(b.blocks, size)
	b.start += size
}

// end writes the index and the last member, in a block of their own.
func (b *tarBuilder) end(h *tar.Header, data []byte) error {
	if b.used() > 0 {
		b.cut(b.used())
	}
	b.content.Write(data)
	content := [32]byte(b.content.Sum(nil))

	// Where the last member lies depends on the size of the index only.
	if err := b.index.Add(h, 0); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	draft, err := b.index.Encode(content, b.hot)
	if err != nil {
		return err
	}
	global := &tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": string(draft)}}
	if err := errors.Join(b.w.WriteHeader(global), b.w.Flush()); err != nil {
		return err
	}
	at := b.start + bytes.Index(b.tar.Bytes()[b.start:], draft)
	if err := b.w.WriteHeader(h); err != nil {
		return err
	}
	b.index.MoveLast(int64(b.tar.Len()))
	final, err := b.index.Encode(content, b.hot)
	if err != nil {
		return err
	}
	copy(b.tar.Bytes()[at:], final)
	if _, err := b.w.Write(data); err != nil {
		return err
	}
	return b.w.Close()
}

// Encoder returns the name and version of the program that compresses.
func Encoder(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "xz", "--version")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("xz: %w", err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line, nil
}

// compress has xz make one stream of the tar, with the given blocks and a last
// one of the rest. Two threads are the fewest: the threaded mode writes the same
// bytes whatever their number, but not those of the other mode.
func compress(ctx context.Context, w io.Writer, tar []byte, blocks []int, o Options) error {
	sizes := make([]string, 0, len(blocks)+1)
	last := len(tar)
	for _, n := range blocks {
		sizes = append(sizes, strconv.Itoa(n))
		last -= n
	}
	sizes = append(sizes, "0")
	jobs := o.Jobs
	if jobs == 0 {
		jobs = runtime.NumCPU()
	}
	dict := max(o.BlockSize, 4<<10)
	cmd := exec.CommandContext(ctx, "xz", "--compress", "--stdout", "--format=xz", "--check=crc64",
		"--threads="+strconv.Itoa(max(2, jobs)),
		// Without the size xz would cut a large last block, and lose the index.
		"--block-size="+strconv.Itoa(max(o.BlockSize, last)), "--block-list="+strings.Join(sizes, ","),
		fmt.Sprintf("--lzma2=preset=9e,lc=4,pb=0,nice=273,dict=%d", dict))
	// XZ_OPT and XZ_DEFAULTS would make other bytes.
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdin = &progressReader{r: bytes.NewReader(tar), total: int64(len(tar)), report: o.Progress}
	cmd.Stdout = w
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("xz: %w", ctx.Err())
	}
	if message := strings.TrimSpace(stderr.String()); err != nil && message != "" {
		return fmt.Errorf("xz: %w: %s", err, message)
	}
	if err != nil {
		return fmt.Errorf("xz: %w", err)
	}
	return nil
}

type progressReader struct {
	r           io.Reader
	done, total int64
	report      func(done, total int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.done += int64(n)
	if p.report != nil {
		p.report(p.done, p.total)
	}
	return n, err
}
