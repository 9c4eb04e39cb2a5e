// SPDX-License-Identifier: Apache-2.0

package index

import (
	"archive/tar"
	"bufio"
	"io"
	"time"

	"github.com/kheadersfs/kheadersfs/index/table"
	"github.com/kheadersfs/kheadersfs/index/tarball"
	"github.com/kheadersfs/kheadersfs/index/zst"
)

// frameSize is about the most bytes that one frame of a cache file decodes to. What
// one program reads lies together in a few frames.
const frameSize = 128 << 10

// Write writes the tree as a cache file (kheadersfs-archive(5)): directories, the hot
// files, then the rest by path. The same tree gives the same bytes.
func (t *Tree) Write(w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 256<<10)
	out, err := zst.NewWriter(buffered, frameSize)
	if err != nil {
		return err
	}
	c := &cacheWriter{t: t, tar: tarball.NewWriter(frameSize, out.WriteFrame), offsets: map[ID]int64{}}
	hot, err := c.members()
	if err != nil {
		return err
	}
	x := table.Index{Table: t.Moved(c.offsets), Hash: t.Hash, Hot: hot}
	if err := out.Close(x.Encode()); err != nil {
		return err
	}
	return buffered.Flush()
}

// A cacheWriter writes the members of a cache file.
type cacheWriter struct {
	t       *Tree
	tar     *tarball.Writer
	offsets map[ID]int64 // of files and links that have been written, by their first name
}

// members writes all members, and returns where the hot files end.
func (c *cacheWriter) members() (hot int64, err error) {
	ids, n, err := c.t.order()
	if err != nil {
		return 0, err
	}
	for id := range ID(c.t.Len()) {
		if e := c.t.Entry(id); e.IsDir() {
			if err := c.add(id); err != nil {
				return 0, err
			}
		}
	}
	if err := c.files(ids[:n]); err != nil {
		return 0, err
	}
	hot = c.tar.Len()
	if err := c.files(ids[n:]); err != nil {
		return 0, err
	}
	// Further names of a file follow its first one, which has its bytes.
	for _, id := range ids {
		if c.t.Entry(id).Ino != id {
			if err := c.add(id); err != nil {
				return 0, err
			}
		}
	}
	return hot, c.tar.Close()
}

// files writes the files and links that have these names, but for those that have been
// written.
func (c *cacheWriter) files(ids []ID) error {
	for _, id := range ids {
		first := c.t.Entry(id).Ino
		if _, written := c.offsets[first]; written {
			continue
		}
		if err := c.add(first); err != nil {
			return err
		}
	}
	return nil
}

func (c *cacheWriter) add(id ID) error {
	e := c.t.Entry(id)
	h := &tar.Header{Name: c.name(id), Mode: int64(e.Mode & 0o777), ModTime: time.Unix(e.Sec, int64(e.Nsec))}
	if e.Nsec != 0 || e.Sec < 0 {
		h.Format = tar.FormatPAX // the only format that can say so
	}
	var data io.Reader
	switch {
	case e.IsDir():
		h.Typeflag = tar.TypeDir
	case e.Ino != id:
		h.Typeflag, h.Linkname = tar.TypeLink, c.name(e.Ino)
	case e.IsLink():
		h.Typeflag, h.Linkname = tar.TypeSymlink, c.t.Target(id)
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
		data = io.NewSectionReader(fileReader{c.t, id}, 0, e.Size)
	}
	off, err := c.tar.Add(h, data)
	if e.Ino == id {
		c.offsets[id] = off
	}
	return err
}

// name returns the name of an entry as GNU tar writes it.
func (c *cacheWriter) name(id ID) string {
	e := c.t.Entry(id)
	switch {
	case id == Root:
		return "./"
	case e.IsDir():
		return "./" + c.t.Path(id) + "/"
	}
	return "./" + c.t.Path(id)
}

// A fileReader reads one file of a tree.
type fileReader struct {
	t  *Tree
	id ID
}

func (r fileReader) ReadAt(p []byte, off int64) (int, error) { return r.t.ReadAt(r.id, p, off) }
