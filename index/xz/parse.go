// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// Parse reads the layout of the .xz file in data, from its end: footer, index and
// header of each stream. It decodes nothing, and uses no number before it has
// checked the checksum over it. The File refers to data, which must not change.
func Parse(data []byte) (*File, error) {
	f, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("xz: %w", err)
	}
	return f, nil
}

func parse(data []byte) (*File, error) {
	type stream struct {
		check   Check
		records []Block
	}
	if len(data) == 0 {
		return nil, formatErrorf("empty file")
	}
	var streams []stream // the last one first
	total := 0
	for end := int64(len(data)); end > 0; {
		tail := data[:end]
		for len(tail) >= 4 && bytes.Equal(tail[len(tail)-4:], []byte{0, 0, 0, 0}) {
			tail = tail[:len(tail)-4] // stream padding, section 2.2
		}
		if len(tail) == 0 {
			return nil, formatErrorf("%d bytes of padding with no stream in front", end)
		}
		check, records, start, err := parseStream(tail, MaxBlocks-total)
		if err != nil {
			return nil, err
		}
		streams = append(streams, stream{check, records})
		total += len(records) + 1
		if total > MaxBlocks {
			return nil, fmt.Errorf("more than %d blocks and streams", MaxBlocks)
		}
		end = start
	}

	f := &File{data: data}
	f.Blocks = make([]Block, 0, total-len(streams))
	slices.Reverse(streams)
	for i, s := range streams {
		f.Streams = append(f.Streams, s.check)
		for _, b := range s.records {
			b.Stream = i
			if err := f.add(b); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// parseStream reads the stream at the end of data. start is where the stream
// begins.
func parseStream(data []byte, maxBlocks int) (check Check, records []Block, start int64, err error) {
	size := int64(len(data))
	if size < 2*headerSize {
		return 0, nil, 0, formatErrorf("%d bytes are too few for a stream", size)
	}
	check, backward, err := parseFooter(data[size-headerSize:])
	if err != nil {
		return 0, nil, 0, err
	}
	index := size - headerSize - backward
	if index < headerSize {
		return 0, nil, 0, formatErrorf("index of %d bytes does not fit in the file", backward)
	}
	records, err = parseIndex(data[index:size-headerSize], maxBlocks)
	if err != nil {
		return 0, nil, 0, err
	}
	start = index - headerSize
	for _, b := range records {
		start -= round4(b.Size)
		if start < 0 {
			return 0, nil, 0, formatErrorf("blocks of the index do not fit in the file")
		}
	}
	headerCheck, err := parseHeader(data[start:])
	if err != nil {
		return 0, nil, 0, err
	}
	if headerCheck != check {
		return 0, nil, 0, formatErrorf("header and footer disagree (check %v and %v)", headerCheck, check)
	}
	at := start + headerSize
	for i := range records {
		records[i].Offset = at
		at += round4(records[i].Size)
	}
	return check, records, start, nil
}

// parseHeader reads a stream header, section 2.1.1.
func parseHeader(b []byte) (Check, error) {
	if len(b) < headerSize || string(b[:len(Magic)]) != Magic {
		return 0, formatErrorf("stream header is missing")
	}
	if crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) {
		return 0, formatErrorf("checksum of the stream header does not match")
	}
	return parseFlags(b[6:8])
}

// parseFooter reads a stream footer, section 2.1.2. backward is the size in bytes
// of the index in front of it.
func parseFooter(b []byte) (check Check, backward int64, err error) {
	if string(b[10:12]) != footerMagic {
		return 0, 0, formatErrorf("no stream footer at the end: cut short, or not .xz")
	}
	if crc32.ChecksumIEEE(b[4:10]) != binary.LittleEndian.Uint32(b) {
		return 0, 0, formatErrorf("checksum of the stream footer does not match")
	}
	check, err = parseFlags(b[8:10])
	return check, (int64(binary.LittleEndian.Uint32(b[4:])) + 1) * 4, err
}

// parseFlags reads the two bytes of stream flags, section 2.1.1.2.
func parseFlags(b []byte) (Check, error) {
	check := Check(b[1])
	switch check {
	case CheckNone, CheckCRC32, CheckCRC64, CheckSHA256:
	default:
		return 0, fmt.Errorf("check of kind %d is not supported", b[1])
	}
	if b[0] != 0 {
		return 0, fmt.Errorf("stream flags %#02x are not supported", b[0])
	}
	return check, nil
}

// parseIndex reads an index, section 4, which takes up all of b. It sets Size and
// Length of the blocks.
func parseIndex(b []byte, maxBlocks int) ([]Block, error) {
	if len(b) < 8 || b[0] != 0 {
		return nil, formatErrorf("index is missing")
	}
	body, sum := b[:len(b)-4], b[len(b)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return nil, formatErrorf("checksum of the index does not match")
	}
	body = body[1:]
	count, body, ok := vli(body)
	if !ok || count > int64(len(body))/2 {
		return nil, formatErrorf("index is not well formed")
	}
	if count > int64(maxBlocks) {
		return nil, fmt.Errorf("more than %d blocks", MaxBlocks)
	}
	records := make([]Block, count)
	for i := range records {
		var ok1, ok2 bool
		records[i].Size, body, ok1 = vli(body)
		records[i].Length, body, ok2 = vli(body)
		if !ok1 || !ok2 || records[i].Size < 5 || records[i].Size > 1<<60 {
			return nil, formatErrorf("record %d of the index is not well formed", i+1)
		}
	}
	if len(body) > 3 || bytes.Count(body, []byte{0}) != len(body) {
		return nil, formatErrorf("padding of the index is not well formed")
	}
	return records, nil
}

// vli reads a multibyte integer, section 1.2, of at most 63 bits.
func vli(b []byte) (v int64, rest []byte, ok bool) {
	for i := 0; i < 9 && i < len(b); i++ {
		v |= int64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return v, b[i+1:], i == 0 || b[i] != 0
		}
	}
	return 0, nil, false
}

func round4(n int64) int64 { return (n + 3) &^ 3 }
