// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The layout of an index: kheadersfs-archive(5) has it.
const (
	// Magic begins every index.
	Magic      = "khindex\x00"
	version    = 1
	headerSize = 64
)

// ErrVersion means that an index has a version that this package doesn't know. The
// archive can be read like one that has none.
var ErrVersion = errors.New("version is not supported")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An Index is a Table and what else an archive says of itself.
type Index struct {
	*Table
	Hash [32]byte // of what kheadersfs-archive(5) says for each kind of archive
	Hot  int64    // the hot files lie before this offset in the row; 0 if they may lie anywhere
}

// Encode returns the bytes of the index. Their number doesn't depend on offsets.
func (x *Index) Encode() []byte {
	b := make([]byte, headerSize, headerSize+len(x.records)+len(x.strings))
	copy(b, Magic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], version)
	le.PutUint32(b[16:], uint32(x.Len()))
	le.PutUint32(b[20:], uint32(len(x.strings)))
	le.PutUint64(b[24:], uint64(x.Hot))
	copy(b[32:], x.Hash[:])
	b = append(b, x.records...)
	b = append(b, x.strings...)
	le.PutUint32(b[12:], crc32.Checksum(b[16:], castagnoli))
	return b
}

// Decode reads an index whose files lie in a row of the given size. Everything in
// it is checked, so that no later use can fail. The Table uses b, which must not
// change.
func Decode(b []byte, size int64) (*Index, error) {
	x, err := decode(b, size)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	return x, nil
}

func decode(b []byte, size int64) (*Index, error) {
	le := binary.LittleEndian
	if len(b) < headerSize || string(b[:8]) != Magic {
		return nil, errors.New("magic number is missing")
	}
	if v := le.Uint32(b[8:]); v != version {
		return nil, fmt.Errorf("%w: %d", ErrVersion, v)
	}
	if crc32.Checksum(b[16:], castagnoli) != le.Uint32(b[12:]) {
		return nil, errors.New("checksum does not match")
	}
	entries, text := int64(le.Uint32(b[16:])), int64(le.Uint32(b[20:]))
	hot := le.Uint64(b[24:])
	switch {
	case entries < 1 || entries > MaxEntries:
		return nil, fmt.Errorf("%d entries instead of 1 to %d", entries, MaxEntries)
	case int64(len(b)) != headerSize+entries*recordSize+text:
		return nil, fmt.Errorf("%d entries and %d bytes of names do not fit in %d bytes", entries, text, len(b))
	case hot > uint64(size):
		return nil, errors.New("hot files lie outside of the archive")
	}
	records := b[headerSize:][:entries*recordSize]
	x := &Index{Table: &Table{records: records, strings: string(b[headerSize+len(records):])}, Hot: int64(hot)}
	copy(x.Hash[:], b[32:])
	return x, x.check(size)
}
