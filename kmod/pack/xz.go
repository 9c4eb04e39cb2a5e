// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// Encoder returns the name and version of the program that compresses.
func Encoder(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "xz", "--version")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("xz: %w", err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line, nil
}

// compress makes one stream of the tar with xz, in blocks of the given sizes. Two
// threads are the fewest: the threaded mode writes the same bytes whatever their
// number, but not those of the other mode.
func compress(ctx context.Context, w io.Writer, tar []byte, blocks []int, o Options) error {
	last := len(blocks) - 1
	sizes := make([]string, 0, len(blocks))
	for _, n := range blocks[:last] {
		sizes = append(sizes, strconv.Itoa(n))
	}
	sizes = append(sizes, "0") // all that is left
	jobs := o.Jobs
	if jobs == 0 {
		jobs = runtime.NumCPU()
	}
	dict := max(o.BlockSize, 4<<10)
	cmd := exec.CommandContext(ctx, "xz", "--compress", "--stdout", "--format=xz", "--check=crc64",
		"--threads="+strconv.Itoa(max(2, jobs)),
		// xz would cut a last block that is larger than this, and lose the index.
		"--block-size="+strconv.Itoa(max(o.BlockSize, blocks[last])), "--block-list="+strings.Join(sizes, ","),
		fmt.Sprintf("--lzma2=preset=9e,lc=4,pb=0,nice=273,dict=%d", dict))
	// XZ_OPT and XZ_DEFAULTS would make other bytes.
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Stdin = &progressReader{r: bytes.NewReader(tar), total: int64(len(tar)), report: o.Progress}
	cmd.Stdout = w
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("xz: %w", ctx.Err())
	}
	if message := strings.TrimSpace(stderr.String()); err != nil && message != "" {
		return fmt.Errorf("xz: %w: %s", err, message)
	}
	if err != nil {
		return fmt.Errorf("xz: %w", err)
	}
	return nil
}

type progressReader struct {
	r           io.Reader
	done, total int64
	report      func(done, total int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.done += int64(n)
	if p.report != nil {
		p.report(p.done, p.total)
	}
	return n, err
}
