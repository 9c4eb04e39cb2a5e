// SPDX-License-Identifier: Apache-2.0

package blocks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/s2"
)

// MemoryBlock is the most bytes that one block in memory decodes to. Larger blocks
// are smaller compressed, and cost more for a reader of one file: what a compile
// reads is spread over almost all blocks.
const MemoryBlock = 32 << 10

// memoryKeep is how many bytes of blocks in memory are kept decoded: the next read
// is mostly near the last one, and decoding a block again is cheap.
const memoryKeep = 1 << 20

// MaxRow is the most bytes that a row in memory may hold.
const MaxRow = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Memory makes a row in memory, of S2 blocks: encoding is four times as fast as
// zstd's, and the blocks are a third larger. Each block follows the CRC32C of its
// bytes. A file that is larger than a block begins one.
type Memory struct {
	blocks  []Block
	encoded [][]byte // of each block
	start   int64    // of the block that is being filled
	buf     []byte
	scratch []byte
}

// NewMemory returns an empty row.
func NewMemory() *Memory {
	return &Memory{buf: make([]byte, 0, MemoryBlock), scratch: make([]byte, crc32.Size+s2.MaxEncodedLen(MemoryBlock))}
}

// Begin begins a file of the given size, and returns its offset in the row.
func (m *Memory) Begin(size int64) (off int64, err error) {
	if size > MemoryBlock-int64(len(m.buf)) {
		m.flush() // blocks are cut between files
	}
	off = m.start + int64(len(m.buf))
	if size > MaxRow-off {
		return 0, fmt.Errorf("unpacked size exceeds %d GiB", MaxRow>>30)
	}
	return off, nil
}

// ReadFrom appends the bytes of a file.
func (m *Memory) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		if len(m.buf) == MemoryBlock {
			m.flush()
		}
		k, err := r.Read(m.buf[len(m.buf):MemoryBlock])
		m.buf = m.buf[:len(m.buf)+k]
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// flush ends a block.
func (m *Memory) flush() {
	if len(m.buf) == 0 {
		return
	}
	m.blocks = append(m.blocks, Block{m.start, len(m.buf)})
	binary.LittleEndian.PutUint32(m.scratch, crc32.Checksum(m.buf, castagnoli))
	n := len(s2.Encode(m.scratch[crc32.Size:], m.buf))
	m.encoded = append(m.encoded, bytes.Clone(m.scratch[:crc32.Size+n]))
	m.start += int64(len(m.buf))
	m.buf = m.buf[:0]
}

// Reader returns a Reader of the row. Nothing may be appended after that.
func (m *Memory) Reader() *Reader {
	m.flush()
	encoded := m.encoded
	return NewReader("block", m.blocks, memoryKeep, func(i int, buf []byte) ([]byte, error) {
		data, err := s2.Decode(buf[:cap(buf)], encoded[i][crc32.Size:])
		if err == nil && crc32.Checksum(data, castagnoli) != binary.LittleEndian.Uint32(encoded[i]) {
			err = errors.New("checksum does not match")
		}
		return data, err
	})
}
