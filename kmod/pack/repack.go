// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/source"
)

// readArchive returns all files and links of a headers archive.
func readArchive(file string) (*tree, error) {
	a, err := source.Open(file)
	if err != nil {
		return nil, err
	}
	in, err := index.Open(a, a.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	t := &tree{members: map[string]*member{}}
	for i := range in.Len() {
		id := index.ID(i)
		e := in.Entry(id)
		if e.IsDir() {
			continue
		}
		m := &member{name: in.Path(id), mtime: time.Unix(e.Sec, 0), mode: fs.FileMode(e.Mode & 0o777), target: in.Target(id)}
		m.read = func() ([]byte, error) {
			b := make([]byte, e.Size)
			if e.Size == 0 {
				return b, nil
			}
			_, err := in.ReadAt(id, b, 0)
			return b, err
		}
		t.members[m.name] = m
		if rest, ok := strings.CutPrefix(m.name, "arch/"); ok && t.arch == "" {
			t.arch, _, _ = strings.Cut(rest, "/")
		}
	}
	if len(t.members) == 0 {
		return nil, fmt.Errorf("%s: no files in it", file)
	}
	return t, nil
}
