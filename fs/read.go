// SPDX-License-Identifier: Apache-2.0

package fs

import (
	"errors"
	"io"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/kheadersfs/kheadersfs/index"
)

func (s *server) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	id, ok := s.entry(in.NodeId)
	if !ok {
		return nil, fuse.ENOENT
	}
	s.push.read(id)
	n, err := s.tree.ReadAt(id, buf, int64(in.Offset))
	if err != nil && err != io.EOF {
		s.logDamage(id, err)
		return nil, fuse.EIO
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// logDamage logs why a file cannot be read, once for each block of data.
func (s *server) logDamage(id index.ID, err error) {
	var b *index.BlockError
	if errors.As(err, &b) {
		s.mu.Lock()
		logged := s.damaged[b.Block]
		s.damaged[b.Block] = true
		s.mu.Unlock()
		if logged {
			return
		}
	}
	s.log.Printf("reading %s: %v", s.tree.Path(id), err)
}

func (s *server) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	id, ok := s.entry(h.NodeId)
	if !ok {
		return nil, fuse.ENOENT
	}
	target := s.tree.Target(id)
	if target == "" {
		return nil, fuse.EINVAL
	}
	return []byte(target), fuse.OK
}
