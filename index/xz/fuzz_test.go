// SPDX-License-Identifier: Apache-2.0

package xz

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	ulikunitz "github.com/ulikunitz/xz"
)

// FuzzParse reads any bytes in every way. None may panic, allocate much memory, or
// disagree with another.
func FuzzParse(f *testing.F) {
	for _, test := range hostile() {
		f.Add(test.data)
	}
	for _, check := range checkNames {
		f.Add(smallArchive(f, text(900), check))
		f.Add(smallArchive(f, noise(300), check))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		const most = 4 << 20
		scanned, scanErr := Scan(bytes.NewReader(data))
		if scanErr == nil && scanned > int64(len(data)) {
			t.Errorf("Scan returns %d for %d bytes", scanned, len(data))
		}
		decodeAll(Salvage(data))
		file, err := Parse(data)
		if err != nil {
			return
		}
		file.FileHead(make([]byte, 512))
		all, err := io.ReadAll(io.LimitReader(file.Reader(), most))
		if err == nil && len(all) < most && int64(len(all)) != file.Unpacked() {
			t.Errorf("decodes to %d bytes, Unpacked returns %d", len(all), file.Unpacked())
		}
		blocks, blockErr := decodeAll(file)
		if err == nil && blockErr == nil && len(all) < most && !bytes.Equal(bytes.Join(blocks, nil), all) {
			t.Error("the blocks together have other bytes than the whole file")
		}
	})
}

// FuzzBlock decodes any LZMA2 data, and compares the result with that of
// ulikunitz/xz.
func FuzzBlock(f *testing.F) {
	for _, data := range [][]byte{text(900), noise(300), make([]byte, 300_000), append(noise(70_000), text(70_000)...)} {
		for _, level := range []string{"-0", "-9", "--lzma2=lc=1,lp=3,pb=4"} {
			packed := xzOf(f, data, "-T1", level)
			file, err := Parse(packed)
			if err != nil {
				f.Fatal(err)
			}
			b := file.Blocks[0]
			header := int64(packed[b.Offset]+1) * 4
			f.Add(packed[b.Offset+header : b.Offset+b.Size-8])
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 1<<18 {
			return
		}
		header := craftHeader(0, filterLZMA2, 1, 16) // 1 MiB
		s := scanner{r: bufio.NewReader(io.MultiReader(bytes.NewReader(header), bytes.NewReader(payload)))}
		length, walkErr := s.chunks()
		if length > 1<<20 {
			return
		}
		data := craftFile(header, payload, length)
		got, err := decode(data)
		if err != nil {
			return
		}
		if walkErr != nil || int64(len(got)) != length {
			t.Errorf("decodes to %d bytes, its chunks say %d (%v)", len(got), length, walkErr)
		}
		r, err := ulikunitz.ReaderConfig{DictCap: 1 << 20}.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("ulikunitz/xz refuses what we decode: %v", err)
		}
		want, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(got, want) {
			t.Error("ulikunitz/xz decodes to other bytes")
		}
	})
}
