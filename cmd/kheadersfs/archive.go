// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/source"
)

// isFind tells whether a SOURCE means that it is to be found. fstab needs
// something in its first field.
func isFind(src string) bool {
	return src == "" || src == "auto" || src == "none" || src == "kheaders"
}

// openArchive opens src, or finds the archive of a release, which is the
// running kernel's if it is empty.
func openArchive(src, release string) (*source.Archive, error) {
	if !isFind(src) {
		path, err := filepath.Abs(src)
		if err != nil {
			return nil, err
		}
		return source.Open(path)
	}
	release, err := runningOr(release)
	if err != nil {
		return nil, err
	}
	a, err := source.Find(release)
	if errors.Is(err, source.ErrRelease) {
		return nil, usageErrorf("%v", err)
	}
	var notFound *source.NotFoundError
	if errors.As(err, &notFound) {
		return nil, withHint(err, "in a container, make the host's /lib/modules visible; "+
			"for a kernel built without CONFIG_IKHEADERS, build the module in kmod/; "+
			"or name an archive as SOURCE")
	}
	return a, err
}

// runningOr returns the release that is asked for, or else the running kernel's.
func runningOr(release string) (string, error) {
	if release != "" {
		return release, nil
	}
	return source.Running()
}

// load makes a tree of an archive. Errors name its file.
func load(a *source.Archive) (*index.Tree, error) {
	t, err := index.Open(a, a.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Path, err)
	}
	return t, nil
}

// archiveFlags are those of the commands that only read.
func archiveFlags(name string) (flags *pflag.FlagSet, release *string) {
	flags = pflag.NewFlagSet(name, pflag.ContinueOnError)
	return flags, flags.String("release", "", "")
}

// archiveInfo is what info --json prints. Keys are only ever added.
type archiveInfo struct {
	Path     string `json:"path"`     // the file that holds the archive
	Kind     string `json:"kind"`     // archive, module, or kernel image
	Offset   int64  `json:"offset"`   // of the archive in the file (unpacked, if it is packed)
	Size     int    `json:"size"`     // of the archive, in bytes
	Release  string `json:"release"`  // of the kernel, from utsrelease.h; empty if that is missing
	Streams  int    `json:"streams"`  // xz streams; 0 in a cache file
	Blocks   int    `json:"blocks"`   // xz blocks, or zstd frames
	Check    string `json:"check"`    // none, CRC32, CRC64, or SHA-256; of the first stream; XXH64 in a cache file
	Index    bool   `json:"index"`    // the archive carries one, and is read block by block
	Entries  int    `json:"entries"`  // files, directories and links, the top directory too
	Files    int64  `json:"files"`    // bytes in all files together
	Unpacked int64  `json:"unpacked"` // size of the tar, in bytes
}

func infoCommand(args []string, stdout, _ io.Writer) error {
	flags, release := archiveFlags("info")
	asJSON := flags.Bool("json", false, "")
	if done, err := parse(flags, args, 0, 1, stdout); done || err != nil {
		return err
	}
	a, err := openArchive(flags.Arg(0), *release)
	if err != nil {
		return err
	}
	f, err := index.Parse(a, a.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", a.Path, err)
	}
	t, err := f.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", a.Path, err)
	}
	l := f.Layout()
	kernel, err := t.Release()
	if err != nil {
		return fmt.Errorf("%s: %w", a.Path, err)
	}
	info := archiveInfo{
		Path: a.Path, Kind: a.Kind, Offset: a.Offset, Size: len(a.Data), Release: kernel,
		Streams: l.Streams, Blocks: l.Blocks, Check: l.Check,
		Index: l.Index, Entries: t.Len(), Files: t.Bytes, Unpacked: l.Unpacked,
	}
	if *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(info)
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
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
	return w.Flush()
}

func verifyCommand(args []string, stdout, stderr io.Writer) error {
	flags, release := archiveFlags("verify")
	if done, err := parse(flags, args, 0, 1, stdout); done || err != nil {
		return err
	}
	a, err := openArchive(flags.Arg(0), *release)
	if err != nil {
		return err
	}
	err = index.Verify(a, a.Size())
	if err == nil {
		_, err = fmt.Fprintf(stdout, "%s: OK\n", a.Path)
		return err
	}
	fmt.Fprintf(stderr, "kheadersfs: %s: %v\n", a.Path, err)
	var damage *index.DamageError
	if errors.As(err, &damage) {
		for _, line := range damage.Lines() {
			fmt.Fprintln(stdout, line)
		}
	}
	return exitStatus(1)
}
