// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// readTar reads all members of a tar into b, and their data into w.
//
// Unlike archive/tar by itself it takes a tar without an end-of-archive marker
// for what it is, cut short: nobody may take the beginning of an archive for the
// whole of it.
func readTar(r io.Reader, b *builder, w *packer) error {
	marker := &endMarker{r: r}
	members := tar.NewReader(marker)
	for {
		marker.zeros, marker.counts = 0, true
		h, err := members.Next()
		marker.counts = false
		if err == io.EOF {
			if marker.zeros < 2*tarBlock {
				return errors.New("tar: the end-of-archive marker is missing: cut short")
			}
			break
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := addMember(h, members, b, w); err != nil {
			return fmt.Errorf("tar: %q: %w", h.Name, err)
		}
	}
	// Behind the marker comes what fills the last record. Reading it has the
	// checks of the last block looked at.
	_, err := io.Copy(io.Discard, r)
	return err
}

func addMember(h *tar.Header, data io.Reader, b *builder, w *packer) error {
	in := &inode{named: true, mtime: h.ModTime}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont:
		if isSparse(h) {
			return errors.New("a sparse file, which is not supported")
		}
		in.kind = kindFile
		if h.Mode&0o111 != 0 {
			in.kind = kindExec
		}
		var err error
		in.size = h.Size
		if in.off, err = w.add(h.Size); err != nil {
			return err
		}
		if _, err := w.ReadFrom(data); err != nil {
			return err
		}
	case tar.TypeDir:
		in.kind = kindDir
	case tar.TypeSymlink:
		in.kind, in.target = kindLink, h.Linkname
		switch {
		case in.target == "" || strings.IndexByte(in.target, 0) >= 0:
			return errors.New("a symbolic link to an impossible name")
		case len(in.target) > maxTarget:
			return fmt.Errorf("a symbolic link to a name of %d bytes, more than the limit of %d", len(in.target), maxTarget)
		}
	case tar.TypeLink:
		return b.link(h.Name, h.Linkname)
	case tar.TypeGNUSparse:
		return errors.New("a sparse file, which is not supported")
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return errors.New("a device or FIFO, which has no place among headers")
	default:
		return fmt.Errorf("a member of type %q, which is not supported", h.Typeflag)
	}
	if in.mtime.IsZero() {
		in.mtime = time.Unix(0, 0)
	}
	return b.add(h.Name, in)
}

// isSparse knows the sparse files of GNU tar in the pax format, which
// archive/tar shows as regular ones.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

const tarBlock = 512

// An endMarker counts the zero bytes that it has returned last, while it is told
// to. archive/tar reads nothing ahead: when Next tells the end, the last bytes
// read are what it took for the end.
type endMarker struct {
	r      io.Reader
	counts bool
	zeros  int
}

func (m *endMarker) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if !m.counts {
		return n, err
	}
	for _, c := range p[:n] {
		m.zeros++
		if c != 0 {
			m.zeros = 0
		}
	}
	return n, err
}
