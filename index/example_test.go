// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/kheadersfs/kheadersfs/index"
)

// An archive is opened, and a file in it is read.
func ExampleOpen() {
	archive, err := os.ReadFile("testdata/stock.tar.xz")
	if err != nil {
		log.Fatal(err)
	}
	tree, err := index.Open(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		log.Fatal(err)
	}
	id, ok := tree.Find("include/net/sock.h")
	if !ok {
		log.Fatal("no such file")
	}
	text := make([]byte, tree.Entry(id).Size)
	if _, err := tree.ReadAt(id, text, 0); err != nil && err != io.EOF {
		log.Fatal(err)
	}
	release, err := tree.Release()
	fmt.Printf("%s%s, %v\n", text, release, err)
	// Output:
	// #include <linux/types.h>
	// struct sock { int sk_protocol; };
	// 6.1.0-golden, <nil>
}

// A directory is listed: its children have IDs that follow each other.
func ExampleTree() {
	archive, err := os.ReadFile("testdata/packed.tar.xz")
	if err != nil {
		log.Fatal(err)
	}
	tree, err := index.Open(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		log.Fatal(err)
	}
	dir, _ := tree.Find("include/net")
	first, n := tree.Children(dir)
	for id := first; id < first+index.ID(n); id++ {
		e := tree.Entry(id)
		fmt.Printf("%o %s\n", e.Mode, tree.Path(id))
	}
	// Output:
	// 100644 include/net/sock.h
	// 120777 include/net/types.h
}

// How an archive is laid out is read without decoding it.
func ExampleParse() {
	for _, name := range []string{"testdata/stock.tar.xz", "testdata/packed.tar.xz", "testdata/cache.v1.tar.zst"} {
		archive, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		f, err := index.Parse(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			log.Fatal(err)
		}
		l := f.Layout()
		fmt.Println(l.Blocks, l.Check, l.Index)
	}
	// Output:
	// 1 CRC64 false
	// 6 CRC64 true
	// 3 XXH64 true
}

// A damaged archive: Verify says which files are hit.
func ExampleVerify() {
	archive, err := os.ReadFile("testdata/packed.tar.xz")
	if err != nil {
		log.Fatal(err)
	}
	archive[2000] ^= 1
	damage, ok := index.Verify(bytes.NewReader(archive), int64(len(archive))).(*index.DamageError)
	if !ok {
		log.Fatal("nothing is damaged")
	}
	for _, name := range damage.Files {
		fmt.Println(name)
	}
	// Output:
	// include/linux/large.h
}
