// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// Wherever a byte is changed or the file is cut, opening the file fails, or reading
// fails, or all bytes are those that were written.
func TestCacheFileDamage(t *testing.T) {
	large := strings.Repeat(tartest.Text(9, 1500), 100) // two blocks of few bytes
	good := written(t, memoryTree(t, append(kernelTree(), tartest.Hardlink("./h", "./include/cold.h"), tartest.File("./large", large))...))
	want := opened(t, good)
	checkDamaged := func(what string, b []byte) {
		t.Helper()
		tree, err := openCacheFile(b)
		if err != nil {
			return
		}
		bad := 0
		for id := range ID(want.Len()) {
			if g, w := tree.Entry(id), want.Entry(id); g != w || tree.Target(id) != want.Target(id) {
				t.Errorf("%s: %s: %+v", what, want.Path(id), g)
			}
			if e := want.Entry(id); e.Mode&syscall.S_IFMT == syscall.S_IFREG && e.Size > 0 {
				p := make([]byte, e.Size)
				var damage *BlockError
				switch _, err := tree.ReadAt(id, p, 0); {
				case errors.As(err, &damage):
					bad++
				case err != nil:
					t.Errorf("%s: %s: %v", what, want.Path(id), err)
				case !bytes.Equal(p, read(t, want, id)):
					t.Errorf("%s: %s: wrong bytes", what, want.Path(id))
				}
			}
		}
		if bad > 0 && verify(b) == nil {
			t.Errorf("%s: %d files can't be read, and Verify finds nothing", what, bad)
		}
	}
	for at := 0; at < len(good); at += stride() {
		for _, flip := range []byte{0x01, 0x80} {
			bad := bytes.Clone(good)
			bad[at] ^= flip
			checkDamaged(fmt.Sprintf("byte %d of %d changed by %#02x", at, len(good), flip), bad)
		}
		checkDamaged(fmt.Sprintf("cut to %d of %d bytes", at, len(good)), good[:at])
	}
	checkDamaged("a byte more", append(bytes.Clone(good), 0))
}

// Frames in another order or of other sizes are an error, even if they add up.
func TestCacheFileOtherSizes(t *testing.T) {
	var members []tartest.Member
	for i := range 6 {
		members = append(members, tartest.File(fmt.Sprint(i), tartest.Text(uint64(i), frameSize-1024)))
	}
	good := written(t, memoryTree(t, members...))
	n := int(binary.LittleEndian.Uint32(good[len(good)-9:]))
	table := len(good) - 9 - n*8
	for name, change := range map[string]func(entries []byte){
		"sizes moved from one to the next": func(b []byte) { b[4]--; b[12]++ },
		"entries changed places":           func(b []byte) { c := bytes.Clone(b[8:16]); copy(b[8:16], b[16:24]); copy(b[16:], c) },
	} {
		bad := bytes.Clone(good)
		change(bad[table:])
		if _, err := openCacheFile(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
