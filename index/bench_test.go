// SPDX-License-Identifier: Apache-2.0

package index

import (
	"fmt"
	"testing"
)

// benchArchive is 8 MB in 1,600 files, packed as a kernel's headers are: in one block.
func benchArchive(b *testing.B) (packed []byte, unpacked int) {
	b.Helper()
	var members []member
	for i := range 1600 {
		members = append(members, file(fmt.Sprintf("./include/%d/%d.h", i%40, i), text(uint64(i%100), 1000+i*5)))
	}
	tarBytes := tarOf(b, members...)
	return command(b, tarBytes, "xz", "-c", "-T1"), len(tarBytes)
}

func BenchmarkLoad(b *testing.B) {
	packed, n := benchArchive(b)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(packed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	packed, n := benchArchive(b)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		if err := Verify(packed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	packed, _ := benchArchive(b)
	tree, err := Open(packed)
	must(b, err)
	for _, path := range []string{"include/39/1599.h", "include/39/absent.h"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tree.Find(path)
			}
		})
	}
}

func BenchmarkReadAt(b *testing.B) {
	packed, _ := benchArchive(b)
	tree, err := Open(packed)
	must(b, err)
	var ids []ID // each in another block
	seen := map[uint32]bool{}
	for id := range ID(tree.Len()) {
		if e := tree.Entry(id); e.Size >= 4096 && !seen[e.at/blockSize] {
			seen[e.at/blockSize] = true
			ids = append(ids, id)
		}
	}
	for _, test := range []struct {
		name string
		ids  []ID
	}{{"warm", ids[:1]}, {"cold", ids}} {
		b.Run(test.name, func(b *testing.B) {
			p := make([]byte, 4096)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := tree.ReadAt(test.ids[i%len(test.ids)], p, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
