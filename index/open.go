// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/kheadersfs/kheadersfs/index/blocks"
	"github.com/kheadersfs/kheadersfs/index/table"
	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/index/zst"
)

// MaxBlock is the most bytes that a block may decode to which is decoded as it is
// read: some are held at once. An .xz with a larger one is decoded whole.
const MaxBlock = zst.MaxFrame

const (
	// packedKeep is how many bytes of a packed archive's blocks are kept decoded.
	// What is hot lies together, 5 MB before all else; a reader of everything by path
	// (grep -r) comes back to it in each directory, and decoding xz is slow.
	packedKeep = 6 << 20
	// cacheFileKeep is the same for a cache file.
	cacheFileKeep = 1 << 20
)

// A File is an archive of which the layout has been read: a stock or packed .tar.xz, a
// cache file, or a plain tar, as it is or compressed by gzip or zstd. It is used by one
// goroutine.
type File struct {
	r    io.ReaderAt
	size int64
	xz   *xz.File // nil unless it is an .xz
	tree *Tree    // nil unless it carries an index

	layout Layout
	hash   *[32]byte // nil until it is asked for
}

// A Layout says what an archive is made of.
type Layout struct {
	Streams  int    // of an .xz
	Blocks   int    // of an .xz, or frames of a cache file; 0 if there is nothing to seek by
	Check    string // none, CRC32, CRC64, SHA-256, or XXH64 of a cache file; empty for other files
	Unpacked int64  // bytes of the tar; -1 if nothing says
	Index    bool   // it carries an index, and is decoded block by block as it is read
}

// Parse reads how the archive of the given size that r holds is laid out. If it
// carries an index, all of that is checked, which takes some milliseconds; nothing
// else is decoded. r must not change while the File or a Tree of it is used.
//
// Of an .xz all bytes are needed in memory: if r has a method Slice(off, n int64)
// []byte, those are used, else all of r is read.
func Parse(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	if err := f.parse(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) parse() error {
	switch container(f.r, f.size) {
	case containerCache:
		if err := f.parseCacheFile(); err != nil {
			return fmt.Errorf("cache file: %w", err)
		}
		return nil
	case containerOther:
		f.layout.Unpacked = -1
		return nil
	}
	data, err := f.bytes()
	if err != nil {
		return err
	}
	if f.xz, err = xz.Parse(data); err != nil {
		return err
	}
	if f.tree, err = openPacked(f.xz); err != nil {
		return err
	}
	f.layout = Layout{
		Streams: len(f.xz.Streams), Blocks: len(f.xz.Blocks), Check: f.xz.Streams[0].String(),
		Unpacked: f.xz.Unpacked(), Index: f.tree != nil,
	}
	return nil
}

// ParseCacheFile is Parse of what must be a cache file.
func ParseCacheFile(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	if err := f.parseCacheFile(); err != nil {
		return nil, err
	}
	return f, nil
}

// Open returns a Tree of an archive, by its own index or else by decoding all of it.
func Open(r io.ReaderAt, size int64) (*Tree, error) {
	f, err := Parse(r, size)
	if err != nil {
		return nil, err
	}
	return f.Open()
}

// Open returns the File's Tree if it has one, and else decodes it.
func (f *File) Open() (*Tree, error) {
	if f.tree != nil {
		return f.tree, nil
	}
	return f.Decode()
}

// Layout says what the archive is made of.
func (f *File) Layout() Layout { return f.layout }

// Tree returns the Tree that the archive's own index makes, whose bytes are decoded
// as they are read; nil if the archive carries no index.
func (f *File) Tree() *Tree { return f.tree }

// Hash returns the SHA-256 of the archive.
func (f *File) Hash() ([32]byte, error) {
	if f.hash != nil {
		return *f.hash, nil
	}
	h := sha256.New()
	if data := f.slice(); data != nil {
		h.Write(data)
	} else if _, err := io.Copy(h, io.NewSectionReader(f.r, 0, f.size)); err != nil {
		return [32]byte{}, err
	}
	f.hash = (*[32]byte)(h.Sum(nil))
	return *f.hash, nil
}

// slice returns the bytes of the archive if they lie in memory.
func (f *File) slice() []byte {
	if m, ok := f.r.(interface{ Slice(off, n int64) []byte }); ok {
		return m.Slice(0, f.size)
	}
	return nil
}

// bytes returns the bytes of the archive.
func (f *File) bytes() ([]byte, error) {
	if data := f.slice(); data != nil {
		return data, nil
	}
	data := make([]byte, f.size)
	_, err := io.ReadFull(io.NewSectionReader(f.r, 0, f.size), data)
	return data, err
}

// parseCacheFile makes the tree of a cache file.
func (f *File) parseCacheFile() error {
	c, err := zst.Open(f.r, f.size)
	if err != nil {
		return err
	}
	x, err := table.Decode(c.Index, c.Unpacked())
	if err != nil {
		return err
	}
	frames := make([]blocks.Block, len(c.Frames))
	for i, frame := range c.Frames {
		frames[i] = blocks.Block{Start: frame.Start, Size: frame.Size}
	}
	f.layout = Layout{Blocks: len(frames), Check: "XXH64", Unpacked: c.Unpacked(), Index: true}
	f.tree = newTree(x.Table, x.Hash, &row{blocks.NewReader("zstd frame", frames, cacheFileKeep, c.Decode), x.Table, x.Hot})
	return nil
}

// openPacked returns the tree of a packed archive, and nil when the archive carries no
// index, or one of a version that we don't know, or has too large a block.
func openPacked(f *xz.File) (*Tree, error) {
	last := len(f.Blocks) - 1
	tooLarge := func(b xz.Block) bool { return b.Length > MaxBlock }
	if last < 0 || slices.ContainsFunc(f.Blocks, tooLarge) || !beginsWithIndex(f, last) {
		return nil, nil
	}
	end, err := decodeBlock(f, last, nil)
	if err != nil {
		return nil, err
	}
	index, err := comment(end)
	if err != nil {
		return nil, err
	}
	x, err := table.Decode(bytes.Clone(index), f.Unpacked()) // the block's memory is used again
	if errors.Is(err, table.ErrVersion) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make([]blocks.Block, len(f.Blocks))
	for i, b := range f.Blocks {
		all[i] = blocks.Block{Start: b.Start, Size: int(b.Length)}
	}
	r := blocks.NewReader("xz block", all, packedKeep, func(i int, buf []byte) ([]byte, error) {
		b, err := decodeBlock(f, i, buf)
		var block *xz.BlockError
		if errors.As(err, &block) {
			err = block.Err // the Reader says which block it is
		}
		return b, err
	})
	r.DecodeAhead()
	r.Add(last, end)
	return newTree(x.Table, x.Hash, &row{r, x.Table, x.Hot}), nil
}

// beginsWithIndex looks at the first bytes of a block, so that a stock archive need
// not be decoded to find out that it has no index.
func beginsWithIndex(f *xz.File, block int) bool {
	const record = len(" comment=") + len("1048576")
	head := make([]byte, tarball.Block+record+len(table.Magic))
	if f.Head(block, head) < len(head) || !tarball.IsHeader(head) || head[156] != tar.TypeXGlobalHeader {
		return false
	}
	_, value, ok := bytes.Cut(head[tarball.Block:], []byte(" comment="))
	return ok && bytes.HasPrefix(value, []byte(table.Magic))
}

// comment returns the value of the record that beginsWithIndex has found: "N comment=VALUE\n",
// of N bytes. archive/tar would copy it several times.
func comment(block []byte) ([]byte, error) {
	records := block[tarball.Block:]
	length, _, _ := bytes.Cut(records[:len("1048576 ")], []byte(" "))
	start := len(length) + len(" comment=")
	n, err := strconv.Atoi(string(length))
	if err != nil || n <= start || n > len(records) || records[n-1] != '\n' {
		return nil, errors.New("tar: damaged pax header")
	}
	return records[start : n-1], nil
}

// decodeBlock decodes a block into buf, or into new memory if buf is too small.
func decodeBlock(f *xz.File, i int, buf []byte) ([]byte, error) {
	n := int(f.Blocks[i].Length)
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	return buf[:n], f.Decode(i, buf[:n])
}
