// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// Open makes a Tree of an archive, a .tar.xz or a cache file.
//
// One that carries its own index (docs/format.md) is opened by decoding its last
// block, some milliseconds, and is kept: other blocks are decoded, and their
// checks looked at, as files in them are read. Any other archive is decoded once,
// whole, which takes a fifth of a second for a kernel's headers; every check in it
// is looked at, and with an error there is no Tree.
func Open(archive []byte) (*Tree, error) {
	return OpenCached(archive, func([32]byte) *Tree { return nil })
}

// OpenCached is Open, but for an archive that would have to be decoded whole: if
// cached returns a tree for its SHA-256, it is that one.
func OpenCached(archive []byte, cached func(hash [32]byte) *Tree) (*Tree, error) {
	if isSeekable(archive) {
		return OpenSeekable(bytes.NewReader(archive), int64(len(archive)))
	}
	f, err := xz.Parse(archive)
	if err != nil {
		return nil, err
	}
	t, err := openPacked(f)
	if t != nil || err != nil {
		return t, err
	}
	hash := sha256.Sum256(archive)
	if t := cached(hash); t != nil {
		return t, nil
	}
	if t, err = load(f); err != nil {
		return nil, err
	}
	t.Hash = hash
	return t, nil
}

// A Layout tells what an archive is made of.
type Layout struct {
	Streams  int    // of an .xz
	Blocks   int    // of an .xz, or frames of a cache file
	Check    string // none, CRC32, CRC64, SHA-256, or XXH64
	Unpacked int64  // bytes of the tar
}

// LayoutOf takes an archive apart, and decodes nothing.
func LayoutOf(archive []byte) (Layout, error) {
	if isSeekable(archive) {
		t, err := Open(archive)
		if err != nil {
			return Layout{}, err
		}
		s := t.data.Load().store
		return Layout{Blocks: len(s.blocks), Check: "XXH64", Unpacked: s.size()}, nil
	}
	f, err := xz.Parse(archive)
	if err != nil {
		return Layout{}, err
	}
	return Layout{Streams: len(f.Streams), Blocks: len(f.Blocks), Check: f.Streams[0].String(), Unpacked: f.Unpacked()}, nil
}

// packedCache is how many bytes of a packed archive's blocks are kept decoded.
// What is hot lies together, 5 MB in front of all else; who reads everything by
// path (grep -r) comes back to it in each directory, and decoding xz is slow.
const packedCache = 6 << 20

// maxPackedBlock bounds the blocks that are decoded as they are read, of which
// some are held at once.
const maxPackedBlock = 8 << 20

// openPacked returns nothing when the archive carries no index, or one of a
// version that we don't know, or is cut into blocks too large for it.
func openPacked(f *xz.File) (*Tree, error) {
	last := len(f.Blocks) - 1
	tooLarge := func(b xz.Block) bool { return b.Length > maxPackedBlock }
	if last < 0 || slices.ContainsFunc(f.Blocks, tooLarge) || !beginsWithIndex(f, last) {
		return nil, nil
	}
	decode := func(i int, buf []byte) ([]byte, error) { return decodeBlock(f, i, buf) }
	end, err := decode(last, nil)
	if err != nil {
		return nil, err
	}
	h, err := tar.NewReader(bytes.NewReader(end)).Next()
	if err != nil {
		return nil, fmt.Errorf("tar: %w", err)
	}
	blocks := make([]block, len(f.Blocks))
	for i, b := range f.Blocks {
		blocks[i] = block{b.Start, int(b.Length)}
	}
	store := newStore(blocks, packedCache, decode)
	store.readAhead()
	store.add(last, end)
	t, err := decodeIndex([]byte(h.PAXRecords["comment"]), f.Unpacked(), store)
	if errors.Is(err, errVersion) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t.packed = true
	return t, nil
}

// beginsWithIndex looks at the first bytes of a block, so that a stock archive
// need not be decoded to find out that it has no index.
func beginsWithIndex(f *xz.File, block int) bool {
	const record = len(" comment=") + len("1048576")
	head := make([]byte, tarBlock+record+len(indexMagic))
	if f.Head(block, head) < len(head) || !isTarHeader(head[:tarBlock]) || head[156] != tar.TypeXGlobalHeader {
		return false
	}
	_, value, ok := bytes.Cut(head[tarBlock:], []byte(" comment="))
	return ok && bytes.HasPrefix(value, []byte(indexMagic))
}

// decodeBlock decodes a block into buf, or another one if that is too small.
func decodeBlock(f *xz.File, i int, buf []byte) ([]byte, error) {
	n := int(f.Blocks[i].Length)
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	return buf[:n], f.Decode(i, buf[:n])
}
