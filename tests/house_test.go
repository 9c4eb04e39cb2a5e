// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kheadersfs/kheadersfs/index"
	"github.com/kheadersfs/kheadersfs/index/blocks"
	"github.com/kheadersfs/kheadersfs/index/kernel"
	"github.com/kheadersfs/kheadersfs/index/source"
	"github.com/kheadersfs/kheadersfs/index/table"
	"github.com/kheadersfs/kheadersfs/index/xz"
	"github.com/kheadersfs/kheadersfs/index/zst"
)

const module = "github.com/kheadersfs/kheadersfs/"

// imports is the picture in docs/design.md: what each package may import of ours.
var imports = map[string]string{
	"cmd/kheadersfs": "fs index index/cache index/kernel index/source kmod/pack",
	"fs":             "index",
	"kmod/pack":      "index index/kernel index/source index/table index/tarball",
	"index/cache":    "index index/source",
	"index/source":   "index/tarball index/xz index/zst",
	"index":          "index/blocks index/kernel index/table index/tarball index/xz index/zst",
	"index/xz":       "index/xz/lzma2",
	"index/blocks":   "",
	"index/kernel":   "",
	"index/table":    "",
	"index/tarball":  "",
	"index/xz/lzma2": "",
	"index/zst":      "",
}

// Imports point downwards, as docs/design.md draws them. What is for tests and
// benchmarks only is not in the picture.
func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}}{{range .Imports}} {{.}}{{end}}", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	check(t, err)
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], module)
		allowed, known := imports[name]
		if !known {
			if !strings.HasPrefix(name, "tests") && !strings.HasSuffix(name, "test") {
				t.Errorf("%s is not in the picture", name)
			}
			continue
		}
		seen[name] = true
		for _, path := range fields[1:] {
			if of, ours := strings.CutPrefix(path, module); ours && !slices.Contains(strings.Fields(allowed), of) {
				t.Errorf("%s imports %s", name, of)
			}
		}
	}
	for name := range imports {
		if !seen[name] {
			t.Errorf("%s is in the picture, and does not exist", name)
		}
	}
}

// limits are the constants in the table of limits in docs/design.md.
var limits = map[string]int64{
	"source.MaxArchive":    source.MaxArchive,
	"source.MaxUnpacked":   source.MaxUnpacked,
	"source.MaxSymbols":    source.MaxSymbols,
	"source.MaxWindow":     source.MaxWindow,
	"xz.MaxUnpacked":       xz.MaxUnpacked,
	"xz.MaxBlocks":         xz.MaxBlocks,
	"xz.MaxDict":           xz.MaxDict,
	"zst.MaxUnpacked":      zst.MaxUnpacked,
	"zst.MaxFrames":        zst.MaxFrames,
	"zst.MaxFrame":         zst.MaxFrame,
	"index.MaxBlock":       index.MaxBlock,
	"index.MaxWindow":      index.MaxWindow,
	"blocks.MaxRow":        blocks.MaxRow,
	"table.MaxEntries":     table.MaxEntries,
	"table.MaxName":        table.MaxName,
	"table.MaxPath":        table.MaxPath,
	"table.MaxTarget":      table.MaxTarget,
	"table.MaxDepth":       table.MaxDepth,
	"table.MaxStrings":     table.MaxStrings,
	"kernel.MaxHotFiles":   kernel.MaxHotFiles,
	"kernel.MaxHotBytes":   kernel.MaxHotBytes,
	"kernel.MaxDirectives": kernel.MaxDirectives,
}

// The table of limits in docs/design.md has these, no others, and their values.
func TestLimits(t *testing.T) {
	_, text, _ := strings.Cut(string(content(t, "../docs/design.md")), "\n## Limits\n")
	text, _, _ = strings.Cut(text, "\n## ")
	seen := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (.*) \\| (.*) \\| `(.*)` \\|$").FindAllStringSubmatch(text, -1) {
		value, known := limits[row[3]]
		if !known || seen[row[3]] {
			t.Errorf("%q stands in the table, and is not one of the limits", row[3])
		}
		seen[row[3]] = true
		if want := inWords(value); row[2] != want && row[2] != want+" bytes" {
			t.Errorf("%s: the table says %q, it is %s", row[3], row[2], want)
		}
	}
	for name := range limits {
		if !seen[name] {
			t.Errorf("%s is not in the table", name)
		}
	}
}

// inWords returns a number as the table has it.
func inWords(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1000:
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	return fmt.Sprint(n)
}

// TestFormats checks that the tables of kheadersfs-archive(5) leave no gap, and that it has
// the numbers of the code.
func TestFormats(t *testing.T) {
	page := string(content(t, "../docs/man/kheadersfs-archive.5"))
	for section, size := range map[string]int{"THE INDEX": 64, "The table": 40} {
		_, text, _ := strings.Cut(page, section+"\n")
		text, _, _ = strings.Cut(text, ".El\n")
		next := 0
		for _, row := range regexp.MustCompile(`(?m)^\.It (\d+) Ta (\d+) Ta `).FindAllStringSubmatch(text, -1) {
			if row[1] != fmt.Sprint(next) {
				t.Errorf("%s: a field at %s instead of %d", section, row[1], next)
			}
			n, err := strconv.Atoi(row[2])
			check(t, err)
			next += n
		}
		if next != size {
			t.Errorf("%s: fields up to %d instead of %d", section, next, size)
		}
	}
	for what, n := range map[string]int64{
		"number of entries, 1 to %s":                table.MaxEntries,
		"length of the name: 1 to %s;":              table.MaxName,
		"length of its target, 1 to %s\n":           table.MaxTarget,
		"at most %s\ndeep":                          table.MaxDepth,
		"paths at most %s bytes":                    table.MaxPath,
		"decodes to more than %s is":                index.MaxBlock,
		"a reader takes %s.":                        zst.MaxFrame,
		"number of frames, at most %s\n":            zst.MaxFrames,
		"All frames together decode to at most %s.": zst.MaxUnpacked,
	} {
		if want := strings.ReplaceAll(what, "%s", inWords(n)); !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	if magic := strings.TrimSuffix(table.Magic, "\x00"); !strings.Contains(page, `\(lq`+magic+`\(rq and a zero byte`) {
		t.Errorf("no %q", magic)
	}
}
