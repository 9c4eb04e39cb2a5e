// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/kheadersfs/kheadersfs/kmod/pack"
)

func packCommand(args []string, stdout, stderr io.Writer) (err error) {
	var o pack.Options
	flags := pflag.NewFlagSet("pack", pflag.ContinueOnError)
	out := flags.StringP("output", "o", "", "")
	flags.StringVar(&o.Objtree, "objtree", "", "")
	flags.BoolVar(&o.KeepComments, "keep-comments", false, "")
	flags.IntVar(&o.BlockSize, "block-size", pack.DefaultBlockSize, "")
	flags.IntVar(&o.Jobs, "jobs", 0, "")
	if done, err := parse(flags, args, 1, 1, stdout); done || err != nil {
		return err
	}
	switch {
	case *out == "":
		return usageErrorf("pack needs -o FILE")
	case o.BlockSize < 4<<10 || o.BlockSize > 4<<20:
		return usageErrorf("--block-size %d is outside of 4096 to 4194304", o.BlockSize)
	case o.Jobs < 0:
		return usageErrorf("--jobs %d", o.Jobs)
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", epoch)
		}
		o.Epoch = time.Unix(seconds, 0)
	}

	// The file that is made takes the place of the one that is there: a device
	// or a link is not to be lost.
	if st, err := os.Lstat(*out); err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("%s: is there and not a regular file", *out)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	encoder, err := pack.Encoder(ctx)
	if err != nil {
		return withHint(err, "install xz-utils")
	}
	// Under another name beside it first: what has the name is whole.
	f, err := os.CreateTemp(filepath.Dir(*out), "."+filepath.Base(*out)+".part-")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	bar := &progressBar{w: stderr, start: time.Now()}
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err == nil {
		o.Progress = bar.show
	}
	err = pack.Pack(ctx, f, flags.Arg(0), o)
	bar.clear()
	if ctx.Err() != nil {
		return fmt.Errorf("stopped by a signal")
	}
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), *out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: %d bytes, in %.1f s, by %s\n", *out, st.Size(), time.Since(bar.start).Seconds(), encoder)
	return err
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
