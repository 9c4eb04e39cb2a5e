// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/kheadersfs/kheadersfs/index/xz"
)

// seekableBlock is about the most bytes that one frame of a cache file decodes to.
// What one program reads lies together in it.
const seekableBlock = 128 << 10

// Write writes the tree as a cache file (docs/format.md), which OpenSeekable
// opens: directories, the hot files, then the rest by path. The same tree gives
// the same bytes.
func (t *Tree) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 256<<10)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(seekableBlock), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return err
	}
	s := &seekableWriter{t: t, w: out, zstd: enc, table: bytes.Clone(t.table), added: map[ID]bool{}}
	if err := s.write(); err != nil {
		return err
	}
	return out.Flush()
}

type seekableWriter struct {
	t      *Tree
	w      io.Writer
	zstd   *zstd.Encoder
	table  []byte      // with the offsets of files in this file
	added  map[ID]bool // files and links, by their first name
	buf    []byte      // of the block that isn't complete
	start  int64       // of that block in the tar
	packed []byte
	seek   []byte // the seek table's entries
}

func (s *seekableWriter) write() error {
	for id := range ID(s.t.Len()) {
		if e := s.t.Entry(id); e.IsDir() {
			if err := s.add(id); err != nil {
				return err
			}
		}
	}
	ids, hot, err := s.t.order()
	if err != nil {
		return err
	}
	if err := s.addFiles(ids[:hot]); err != nil {
		return err
	}
	hotEnd := s.start + int64(len(s.buf))
	if err := s.addFiles(ids[hot:]); err != nil {
		return err
	}
	// Further names of a file come behind its first one, which has its bytes.
	for _, id := range ids {
		if s.t.Entry(id).Ino != id {
			if err := s.add(id); err != nil {
				return err
			}
		}
	}
	return s.end(hotEnd)
}

// addFiles adds the files and links that have these names, if they aren't there.
func (s *seekableWriter) addFiles(ids []ID) error {
	for _, id := range ids {
		first := s.t.Entry(id).Ino
		if s.added[first] {
			continue
		}
		s.added[first] = true
		if err := s.add(first); err != nil {
			return err
		}
	}
	return nil
}

func (s *seekableWriter) add(id ID) error {
	e := s.t.Entry(id)
	h := &tar.Header{Name: nameOf(s.t, id), Mode: int64(e.Mode & 0o777), ModTime: time.Unix(e.Sec, int64(e.Nsec))}
	if e.Nsec != 0 || e.Sec < 0 {
		h.Format = tar.FormatPAX // the only one that tells
	}
	switch {
	case e.IsDir():
		h.Typeflag = tar.TypeDir
	case e.Ino != id:
		h.Typeflag, h.Linkname = tar.TypeLink, nameOf(s.t, e.Ino)
	case e.IsLink():
		h.Typeflag, h.Linkname = tar.TypeSymlink, s.t.Target(id)
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	}
	var header bytes.Buffer
	if err := tar.NewWriter(&header).WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	if len(s.buf)+header.Len()+int(roundUp(h.Size)) > seekableBlock {
		if err := s.flush(); err != nil { // blocks are cut between files
			return err
		}
	}
	s.buf = append(s.buf, header.Bytes()...)
	if h.Typeflag == tar.TypeReg {
		binary.LittleEndian.PutUint32(s.table[int(id)*entrySize+32:], uint32(s.start+int64(len(s.buf))))
	}
	for off := int64(0); off < h.Size; {
		if len(s.buf) >= seekableBlock {
			if err := s.flush(); err != nil {
				return err
			}
		}
		at := len(s.buf)
		n := int(min(h.Size-off, int64(seekableBlock-at)))
		s.buf = append(s.buf, make([]byte, n)...)
		if _, err := s.t.ReadAt(id, s.buf[at:], off); err != nil {
			return err
		}
		off += int64(n)
	}
	s.buf = append(s.buf, make([]byte, roundUp(h.Size)-h.Size)...)
	return nil
}

// nameOf returns the name of an entry as GNU tar writes it.
func nameOf(t *Tree, id ID) string {
	e := t.Entry(id)
	switch {
	case id == Root:
		return "./"
	case e.IsDir():
		return "./" + t.Path(id) + "/"
	}
	return "./" + t.Path(id)
}

// flush ends a block.
func (s *seekableWriter) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	s.packed = s.zstd.EncodeAll(s.buf, s.packed[:0])
	s.start += int64(len(s.buf))
	if s.start > xz.MaxUnpacked {
		return fmt.Errorf("more than the limit of %d bytes", int64(xz.MaxUnpacked))
	}
	s.seekEntry(len(s.packed), len(s.buf))
	s.buf = s.buf[:0]
	_, err := s.w.Write(s.packed)
	return err
}

func (s *seekableWriter) seekEntry(packed, size int) {
	le := binary.LittleEndian
	s.seek = le.AppendUint32(le.AppendUint32(s.seek, uint32(packed)), uint32(size))
}

// end writes the end-of-archive marker, the index, and the seek table.
func (s *seekableWriter) end(hot int64) error {
	s.buf = append(s.buf, make([]byte, 2*tarBlock)...)
	if err := s.flush(); err != nil {
		return err
	}
	for id := range ID(s.t.Len()) {
		if first := s.t.Entry(id).Ino; first != id {
			copy(s.table[int(id)*entrySize+32:][:4], s.table[int(first)*entrySize+32:])
		}
	}
	le := binary.LittleEndian
	index := encodeIndex(s.table, s.t.strings, s.t.Hash, hot)
	index = le.AppendUint32(index, crc32.Checksum(s.seek, castagnoli))
	if err := s.skippable(skippableIndex, index); err != nil {
		return err
	}
	s.seekEntry(skippableSize+len(index), 0)
	footer := le.AppendUint32(nil, uint32(len(s.seek)/seekEntrySize))
	footer = le.AppendUint32(append(footer, 0), seekMagic)
	return s.skippable(skippableSeek, append(s.seek, footer...))
}

// skippable writes a frame that other programs pass over.
func (s *seekableWriter) skippable(magic uint32, b []byte) error {
	le := binary.LittleEndian
	if _, err := s.w.Write(le.AppendUint32(le.AppendUint32(nil, magic), uint32(len(b)))); err != nil {
		return err
	}
	_, err := s.w.Write(b)
	return err
}
