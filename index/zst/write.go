// SPDX-License-Identifier: Apache-2.0

package zst

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A Writer writes a cache file. The same frames and index give the same bytes.
type Writer struct {
	w       io.Writer
	encoder *zstd.Encoder
	packed  []byte
	size    int64  // of all frames, unpacked
	entries []byte // of the seek table
}

// NewWriter returns a Writer of frames that are made of about frameSize bytes, a power
// of two.
func NewWriter(w io.Writer, frameSize int) (*Writer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(frameSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	return &Writer{w: w, encoder: encoder}, nil
}

// WriteFrame writes a frame of the given bytes.
func (w *Writer) WriteFrame(b []byte) error {
	w.packed = w.encoder.EncodeAll(b, w.packed[:0])
	if w.size += int64(len(b)); w.size > MaxUnpacked {
		return fmt.Errorf("unpacked size exceeds %d GiB", MaxUnpacked>>30)
	}
	w.addEntry(len(w.packed), len(b))
	_, err := w.w.Write(w.packed)
	return err
}

func (w *Writer) addEntry(packed, size int) {
	le := binary.LittleEndian
	w.entries = le.AppendUint32(le.AppendUint32(w.entries, uint32(packed)), uint32(size))
}

// Close writes the index and the seek table.
func (w *Writer) Close(index []byte) error {
	le := binary.LittleEndian
	index = le.AppendUint32(index, crc32.Checksum(w.entries, castagnoli))
	if err := w.skippable(skippableIndex, index); err != nil {
		return err
	}
	w.addEntry(skippableSize+len(index), 0)
	footer := le.AppendUint32(nil, uint32(len(w.entries)/entrySize))
	footer = le.AppendUint32(append(footer, 0), seekMagic)
	return w.skippable(skippableSeek, append(w.entries, footer...))
}

// skippable writes a frame that other programs ignore.
func (w *Writer) skippable(magic uint32, b []byte) error {
	le := binary.LittleEndian
	if _, err := w.w.Write(le.AppendUint32(le.AppendUint32(nil, magic), uint32(len(b)))); err != nil {
		return err
	}
	_, err := w.w.Write(b)
	return err
}
