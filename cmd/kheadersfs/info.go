// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/source"
)

const infoHelp = `With --json it prints one object. Its keys, such as path, kind, release, size
and entries, stay the same; others may be added.
`

// archiveInfo is what info --json prints. Keys are only ever added.
type archiveInfo struct {
	Path     string `json:"path"`     // the file that holds the archive
	Kind     string `json:"kind"`     // archive, module, or kernel image
	Offset   int64  `json:"offset"`   // of the archive in the file, in the unpacked file if that is compressed
	Size     int    `json:"size"`     // of the archive, in bytes
	Release  string `json:"release"`  // of the kernel, from utsrelease.h; empty if that is missing
	Streams  int    `json:"streams"`  // xz streams; 0 in a cache file
	Blocks   int    `json:"blocks"`   // xz blocks, or zstd frames
	Check    string `json:"check"`    // none, CRC32, CRC64, or SHA-256; of the first stream; XXH64 in a cache file
	Index    bool   `json:"index"`    // the archive carries one, and is read block by block
	Entries  int    `json:"entries"`  // files, directories and links, with the top directory
	Files    int64  `json:"files"`    // bytes in all files together
	Unpacked int64  `json:"unpacked"` // size of the tar, in bytes
	// What a machine needs to run the programs in the archive with which modules are built.
	Programs *source.Program `json:"programs,omitempty"`
}

func defineInfo(flags *pflag.FlagSet) func(*call) error {
	var l lookup
	l.define(flags)
	asJSON := flags.Bool("json", false, "print a JSON object, for programs")
	return func(c *call) error {
		info, err := describe(c.operands[0], l)
		if err != nil {
			return err
		}
		if *asJSON {
			e := json.NewEncoder(c.stdout)
			e.SetIndent("", "  ")
			return e.Encode(info)
		}
		return info.print(c.stdout)
	}
}

func describe(src string, l lookup) (*archiveInfo, error) {
	a, err := openArchive(src, l)
	if err != nil {
		return nil, err
	}
	f, err := index.Parse(a, a.Size())
	var t *index.Tree
	if err == nil {
		t, err = f.Open()
	}
	var kernel string
	if err == nil {
		kernel, err = t.Release()
	}
	var programs *source.Program
	if err == nil {
		programs, err = hostPrograms(t)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	layout := f.Layout()
	return &archiveInfo{
		Path: a.Path, Kind: a.Kind, Offset: a.Offset, Size: len(a.Data), Release: kernel,
		Streams: layout.Streams, Blocks: layout.Blocks, Check: layout.Check,
		Index: layout.Index, Entries: t.Len(), Files: t.Bytes, Unpacked: layout.Unpacked, Programs: programs,
	}, nil
}

func (info *archiveInfo) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "archive\t%s\n", info.Path)
	if info.Kind != source.KindArchive {
		fmt.Fprintf(w, "in a\t%s, at byte %d\n", info.Kind, info.Offset)
	}
	fmt.Fprintf(w, "size\t%d bytes\n", info.Size)
	fmt.Fprintf(w, "kernel\t%s\n", info.Release)
	if info.Streams > 0 {
		fmt.Fprintf(w, "xz\t%d streams, %d blocks, check %s\n", info.Streams, info.Blocks, info.Check)
	} else {
		fmt.Fprintf(w, "zstd\t%d frames, check %s\n", info.Blocks, info.Check)
	}
	if info.Index {
		fmt.Fprintf(w, "index\tin the archive: blocks are decoded as they are read\n")
	}
	fmt.Fprintf(w, "entries\t%d\n", info.Entries)
	fmt.Fprintf(w, "unpacked\t%d bytes, %d of them in files\n", info.Unpacked, info.Files)
	if p := info.Programs; p != nil {
		fmt.Fprintf(w, "builds\tmodules, with programs for %s\n", p)
	}
	return w.Flush()
}
