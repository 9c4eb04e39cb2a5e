// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/need"
)

// stride is the step of loops over every byte or length: a prime under -short.
func stride() int {
	if testing.Short() {
		return 7
	}
	return 1
}

// xzOf compresses data with the xz command.
func xzOf(t testing.TB, data []byte, args ...string) []byte {
	t.Helper()
	return need.Filter(t, data, "xz", append([]string{"-c", "-q", "--no-warn"}, args...)...)
}

// text returns n bytes that look like a header, the same in each call.
func text(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "#define CONFIG_%X_%d\t%#x\n", rnd.IntN(4096), rnd.IntN(50), rnd.Uint32())
	}
	return b.Bytes()[:n]
}

// noise returns n bytes that can't be compressed, the same in each call.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// A crafted is a stream made of given pieces, with the right checksums over them.
type crafted struct {
	flags   [2]byte // of the stream header
	footer  *[2]byte
	blocks  []byte // with padding
	records []Block
	index   []byte // replaces the index of records
}

func (c crafted) bytes() []byte {
	b := append([]byte(Magic), c.flags[:]...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(c.flags[:]))
	b = append(b, c.blocks...)
	index := c.index
	if index == nil {
		index = appendIndex(nil, c.records)
	}
	b = append(b, index...)
	flags := c.flags
	if c.footer != nil {
		flags = *c.footer
	}
	tail := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	tail = append(tail, flags[:]...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(tail))
	return append(append(b, tail...), footerMagic...)
}

// craftHeader returns a block header with the given flags and fields after them.
// It adds size, padding and checksum.
func craftHeader(flags byte, rest ...byte) []byte {
	b := append([]byte{0, flags}, rest...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	b[0] = byte(len(b) / 4)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// craftIndex appends padding and checksum to the body of an index.
func craftIndex(body ...byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	return binary.LittleEndian.AppendUint32(body, crc32.ChecksumIEEE(body))
}

// plain returns data as LZMA2 chunks that are not compressed.
func plain(data []byte) []byte {
	var b []byte
	for first := true; len(data) > 0; first = false {
		n := min(len(data), 1<<16)
		control := byte(2)
		if first {
			control = 1 // resets the dictionary
		}
		b = binary.BigEndian.AppendUint16(append(b, control), uint16(n-1))
		b = append(b, data[:n]...)
		data = data[n:]
	}
	return append(b, 0)
}

// craftFile returns a file of one block without a check, made of the given header
// and LZMA2 data. Its index says that the block decodes to length bytes.
func craftFile(header, payload []byte, length int64) []byte {
	block := append(bytes.Clone(header), payload...)
	size := int64(len(block))
	for len(block)%4 != 0 {
		block = append(block, 0)
	}
	return crafted{blocks: block, records: []Block{{Size: size, Length: length}}}.bytes()
}

// decode decodes the file in data.
func decode(data []byte) ([]byte, error) {
	f, err := Parse(data)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(f.Reader())
}

// allocated returns how many bytes of memory f allocates, freed ones included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// setDict changes the dictionary size in the first block header of a file that xz
// has made. That header has no sizes.
func setDict(t testing.TB, data []byte, code byte) []byte {
	t.Helper()
	data = bytes.Clone(data)
	h := data[headerSize:]
	h = h[:(int(h[0])+1)*4]
	if h[1] != 0 || h[2] != filterLZMA2 {
		t.Fatalf("an unexpected block header: % x", h)
	}
	h[4] = code
	binary.LittleEndian.PutUint32(h[len(h)-4:], crc32.ChecksumIEEE(h[:len(h)-4]))
	return data
}
