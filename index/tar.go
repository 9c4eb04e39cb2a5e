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

// readTar reads all members of a tar into b, and their data into to.
//
// Unlike archive/tar by itself it takes a tar without an end-of-archive marker
// for what it is, cut short: nobody may take the beginning of an archive for the
// whole of it.
func readTar(r io.Reader, b *builder, to sink) error {
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
		if err := addMember(h, members, marker.at, b, to); err != nil {
			return fmt.Errorf("tar: %q: %w", h.Name, err)
		}
	}
	// Behind the marker comes what fills the last record. Reading it has the
	// checks of the last block looked at.
	_, err := io.Copy(io.Discard, r)
	return err
}

// addMember takes in a member whose data begins at an offset in the tar.
func addMember(h *tar.Header, data io.Reader, at int64, b *builder, to sink) error {
	if h.Typeflag == tar.TypeLink {
		return b.link(h.Name, h.Linkname)
	}
	in, err := newInode(h)
	if err != nil {
		return err
	}
	if in.kind == kindFile || in.kind == kindExec {
		if in.off, err = to.add(h.Size, at); err != nil {
			return err
		}
		if _, err := to.ReadFrom(data); err != nil {
			return err
		}
	}
	return b.add(h.Name, in)
}

// newInode returns what a header says of a file, a directory, or a symbolic
// link; nothing else can become an inode.
func newInode(h *tar.Header) (*inode, error) {
	in := &inode{named: true, mtime: h.ModTime}
	if in.mtime.IsZero() {
		in.mtime = time.Unix(0, 0)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont:
		if isSparse(h) {
			return nil, errors.New("a sparse file, which is not supported")
		}
		in.kind, in.size = kindFile, h.Size
		if h.Mode&0o111 != 0 {
			in.kind = kindExec
		}
	case tar.TypeDir:
		in.kind = kindDir
	case tar.TypeSymlink:
		in.kind, in.target = kindLink, h.Linkname
		switch {
		case in.target == "" || strings.IndexByte(in.target, 0) >= 0:
			return nil, errors.New("a symbolic link to an impossible name")
		case len(in.target) > maxTarget:
			return nil, fmt.Errorf("a symbolic link to a name of %d bytes, more than the limit of %d", len(in.target), maxTarget)
		}
	case tar.TypeGNUSparse:
		return nil, errors.New("a sparse file, which is not supported")
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return nil, errors.New("a device or FIFO, which has no place among headers")
	default:
		return nil, fmt.Errorf("a member of type %q, which is not supported", h.Typeflag)
	}
	return in, nil
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
	at     int64 // bytes returned
	counts bool
	zeros  int
}

func (m *endMarker) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.at += int64(n)
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
