// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/kheadersfs/kheadersfs/kmod/pack"
)

const packHelp = `TREE is a kernel's build directory, its source tree (with --objtree, if it was
built elsewhere), or a headers archive to pack anew. FILE is there when it is
whole, or not at all; - is standard output. The same input gives the same
bytes, with $SOURCE_DATE_EPOCH as the latest time of a file. It needs the
program xz; --kbuild also make and the kernel's compiler, with which it builds
a module to see that modules can be built with what was packed.
`

// A packing is what the flags of pack say.
type packing struct {
	pack.Options
	output  string
	force   bool
	noCheck bool
}

func definePack(flags *pflag.FlagSet) func(*call) error {
	p := &packing{}
	p.BlockSize = pack.DefaultBlockSize
	flags.VarP(text{&p.output, "FILE"}, "output", "o", "write the archive to FILE")
	flags.BoolVarP(&p.force, "force", "f", false, "replace FILE if it exists")
	flags.Var(text{&p.Objtree, "DIR"}, "objtree", "the directory that the source tree TREE was built in")
	flags.BoolVar(&p.Kbuild, "kbuild", false, "pack all that modules are built with, too")
	flags.BoolVar(&p.BTF, "btf", false, "with --kbuild, pack what modules get BTF from")
	flags.BoolVar(&p.noCheck, "no-check", false, "with --kbuild, build no module to see that it works")
	flags.BoolVar(&p.KeepComments, "keep-comments", false, "keep all comments in headers")
	flags.Var(number{&p.BlockSize, 4 << 10, 4 << 20}, "block-size", "put at most N bytes into a block")
	flags.Var(number{&p.Jobs, 0, 1024}, "jobs", "use N processors; 0: all")
	return func(c *call) error {
		tree := c.operands[0]
		if p.output == "" {
			return usageErrorf("-o FILE is missing")
		}
		if err := p.checkInput(tree); err != nil {
			return err
		}
		if err := p.checkOutput(tree, c.stdout); err != nil {
			return err
		}
		return p.run(tree, c)
	}
}

// checkInput finds what would make packing a tree fail, and takes in the time that
// the environment sets.
func (p *packing) checkInput(tree string) error {
	st, err := os.Stat(tree)
	if err != nil {
		return fmt.Errorf("%s: %w", tree, bare(err))
	}
	switch {
	case (p.noCheck || p.BTF) && !p.Kbuild:
		return usageErrorf("--no-check and --btf are for --kbuild")
	case p.Kbuild && !st.IsDir():
		return usageErrorf("--kbuild is for a tree, and %s is a file", tree)
	}
	if p.Objtree != "" {
		if !st.IsDir() {
			return usageErrorf("--objtree is for a source tree, and %s is a file", tree)
		}
		switch st, err := os.Stat(p.Objtree); {
		case err != nil:
			return fmt.Errorf("--objtree %s: %w", p.Objtree, bare(err))
		case !st.IsDir():
			return fmt.Errorf("--objtree %s: %w", p.Objtree, syscall.ENOTDIR)
		}
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", epoch)
		}
		p.Epoch = time.Unix(seconds, 0)
	}
	return nil
}

// checkOutput reports why the archive cannot be written. It takes the place of a
// file that is there, so a device or a link must not be lost, nor the input.
func (p *packing) checkOutput(tree string, stdout io.Writer) error {
	if p.output == "-" {
		if isTerminal(stdout) {
			return usageErrorf("an archive is not written to a terminal")
		}
		return nil
	}
	st, err := os.Lstat(p.output)
	if err != nil {
		return checkParent(p.output)
	}
	in, err := os.Stat(tree)
	switch {
	case err == nil && os.SameFile(in, st):
		return fmt.Errorf("%s is the input", p.output)
	case !st.Mode().IsRegular():
		return withHint(fmt.Errorf("%s: is there and not a regular file", p.output), "-o - writes to standard output")
	case !p.force:
		return withHint(fmt.Errorf("%s: is there already", p.output), "--force replaces it")
	}
	return checkParent(p.output)
}

func (p *packing) run(tree string, c *call) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	encoder, err := pack.Encoder(ctx)
	if err != nil {
		return withHint(err, "install xz-utils")
	}
	bar := &progressBar{w: c.stderr, start: time.Now()}
	if isTerminal(c.stderr) {
		p.Progress = bar.show
	}
	report, size := c.stdout, int64(0)
	if p.output == "-" {
		report = c.stderr
		var archive bytes.Buffer
		if err = pack.Pack(ctx, &archive, tree, p.Options); err == nil {
			err = p.check(ctx, bytes.NewReader(archive.Bytes()), int64(archive.Len()))
		}
		if err == nil {
			size, err = archive.WriteTo(c.stdout)
		}
	} else {
		size, err = p.toFile(ctx, tree)
	}
	bar.clear()
	if ctx.Err() != nil {
		return errors.New("stopped by a signal")
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(report, "%s: %d bytes, in %.1f s, by %s\n", p.output, size, time.Since(bar.start).Seconds(), encoder)
	return err
}

// toFile packs under another name beside the output first, so that what has the
// name is whole.
func (p *packing) toFile(ctx context.Context, tree string) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(p.output), "."+filepath.Base(p.output)+".part-")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.output, bare(err))
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := pack.Pack(ctx, f, tree, p.Options); err != nil {
		return 0, err
	}
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if err := p.check(ctx, f, st.Size()); err != nil {
		return 0, err
	}
	err = f.Chmod(0o644)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(f.Name(), p.output)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.output, bare(err))
	}
	return st.Size(), nil
}

// check builds a module with what was packed, if that is what it is for.
func (p *packing) check(ctx context.Context, archive io.ReaderAt, size int64) error {
	if !p.Kbuild || p.noCheck {
		return nil
	}
	return checkKbuild(ctx, archive, size)
}

// A progressBar redraws one line of a terminal, a few times a second.
type progressBar struct {
	w     io.Writer
	start time.Time
	last  time.Time
}

func (b *progressBar) show(done, total int64) {
	if time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last = time.Now()
	const width = 40
	full := int(done * width / max(total, 1))
	fmt.Fprintf(b.w, "\r[%-*s] %3d %%", width, "########################################"[:full], done*100/max(total, 1))
}

func (b *progressBar) clear() {
	if !b.last.IsZero() {
		fmt.Fprint(b.w, "\r\033[K")
	}
}
