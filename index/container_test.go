// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kheadersfs/kheadersfs/index/zst"
	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

// A tar is the same tree however it is compressed, also in several frames or gzip
// members.
func TestContainers(t *testing.T) {
	tarBytes := tartest.Tar(t, kernelTree()...)
	half := len(tarBytes) / 2
	want, err := treeOf(tarBytes)
	must(t, err)
	for name, archive := range map[string][]byte{
		"tar":             tarBytes,
		"gzip":            tartest.Gzip(t, tarBytes),
		"zstd":            tartest.Zstd(t, tarBytes),
		"two gzip files":  append(tartest.Gzip(t, tarBytes[:half]), tartest.Gzip(t, tarBytes[half:])...),
		"two zstd frames": append(tartest.Zstd(t, tarBytes[:half]), tartest.Zstd(t, tarBytes[half:])...),
		"xz":              tartest.XZ(t, tarBytes, 0),
	} {
		tree, err := openBytes(archive)
		must(t, err)
		if got, want := show(t, tree), show(t, want); got != want || tree.Hash != sha256.Sum256(archive) {
			t.Errorf("%s: got  %s\nwant %s", name, got, want)
		}
		must(t, verify(archive))
		if hasIndex(t, archive) {
			t.Errorf("%s: has an index", name)
		}
		for n := range archive {
			if n%97 != 0 && n < len(archive)-9 {
				continue
			}
			if _, err := openBytes(archive[:n]); (err == nil) != (verify(archive[:n]) == nil) || err == nil && name != "tar" {
				t.Errorf("%s: cut to %d of %d bytes: %v", name, n, len(archive), err)
			}
		}
	}
}

// What is compressed beyond the limit is refused, also behind the end of the tar.
func TestContainerLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("decompresses 2 GiB")
	}
	var bomb bytes.Buffer
	w, err := zstd.NewWriter(&bomb, zstd.WithWindowSize(1<<20))
	must(t, err)
	_, err = w.Write(tartest.Tar(t, tartest.File("a", "x")))
	must(t, err)
	for range 1<<30>>20 + 1 {
		_, err := w.Write(make([]byte, 1<<20))
		must(t, err)
	}
	must(t, w.Close())
	if _, err := openBytes(bomb.Bytes()); err == nil || !strings.Contains(err.Error(), "unpacked size exceeds 1 GiB") {
		t.Error(err)
	}
}

// A frame with a larger window than the limit is refused: its first bytes, with an empty
// block.
func TestContainerWindow(t *testing.T) {
	for windowLog, want := range map[byte]string{27: "end-of-archive marker is missing", 28: "window size exceeded"} {
		frame := []byte(zst.Magic + "\x00" + string([]byte{(windowLog - 10) << 3}) + "\x01\x00\x00")
		if _, err := openBytes(frame); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a window of 2^%d bytes: %v, want %s", windowLog, err, want)
		}
	}
}
