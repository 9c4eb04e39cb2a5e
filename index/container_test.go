// SPDX-License-Identifier: Apache-2.0

package index

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kheadersfs/kheadersfs/tests/tartest"
)

func gzipOf(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	must(t, err)
	must(t, w.Close())
	return out.Bytes()
}

func zstdOf(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	must(t, err)
	return w.EncodeAll(b, nil)
}

// A tar is the same tree whatever it is compressed with, and so is one of several
// frames or members.
func TestContainers(t *testing.T) {
	tarBytes := tartest.Tar(t, kernelTree()...)
	half := len(tarBytes) / 2
	want, err := treeOf(tarBytes)
	must(t, err)
	for name, archive := range map[string][]byte{
		"tar":             tarBytes,
		"gzip":            gzipOf(t, tarBytes),
		"zstd":            zstdOf(t, tarBytes),
		"two gzip files":  append(gzipOf(t, tarBytes[:half]), gzipOf(t, tarBytes[half:])...),
		"two zstd frames": append(zstdOf(t, tarBytes[:half]), zstdOf(t, tarBytes[half:])...),
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
	// A window larger than a block may be needs too much memory.
	w, err = zstd.NewWriter(nil, zstd.WithWindowSize(2*MaxBlock))
	must(t, err)
	large := w.EncodeAll(tartest.Tar(t, tartest.File("a", tartest.Text(1, 2*MaxBlock))), nil)
	if _, err := openBytes(large); err == nil || !strings.Contains(err.Error(), "window size") {
		t.Errorf("a window of %d bytes: %v", 2*MaxBlock, err)
	}
}
