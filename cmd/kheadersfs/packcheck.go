// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kheadersfs/kheadersfs/index"
)

// trialModule is what is built against a tree that modules are to be built with.
var trialModule = map[string]string{
	"Kbuild": "obj-m := trial.o\n",
	"trial.c": `// SPDX-License-Identifier: GPL-2.0
#include <linux/init.h>
#include <linux/module.h>
#include <linux/printk.h>

static int __init trial_init(void)
{
	pr_info("trial\n");
	return 0;
}

static void __exit trial_exit(void)
{
}

module_init(trial_init);
module_exit(trial_exit);
MODULE_DESCRIPTION("Trial");
MODULE_LICENSE("GPL");
`,
}

// checkKbuild builds a module against an archive, unpacked.
func checkKbuild(ctx context.Context, archive io.ReaderAt, size int64) (err error) {
	t, err := index.Open(archive, size)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kheadersfs-pack-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tree, module := filepath.Join(dir, "tree"), filepath.Join(dir, "trial")
	if err := extract(t, tree); err != nil {
		return err
	}
	if err := os.Mkdir(module, 0o700); err != nil {
		return err
	}
	for name, text := range trialModule {
		if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "make", "-C", tree, "M="+module, "modules")
	// Nothing of a make in which this program may run, which has variables for kbuild of its own.
	cmd.Env = []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "ARCH", "CROSS_COMPILE", "LLVM"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	config, err := os.ReadFile(filepath.Join(tree, "include/config/auto.conf"))
	if err != nil {
		return err
	}
	if os.Getenv("LLVM") == "" && bytes.Contains(config, []byte("\nCONFIG_CC_IS_CLANG=y\n")) && bytes.Contains(config, []byte("\nCONFIG_LD_IS_LLD=y\n")) {
		cmd.Env = append(cmd.Env, "LLVM=1") // as the kernel was built
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		_, err = os.Stat(filepath.Join(module, "trial.ko"))
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if text := bytes.TrimSpace(out); len(text) > 0 {
		const most = 2000 // its end says what is missing
		err = fmt.Errorf("%w\n%s", err, text[max(0, len(text)-most):])
	}
	return withHint(fmt.Errorf("no module can be built with what was packed: make: %w", err),
		"TREE must be a kernel's build directory, and make and its compiler be installed; --no-check packs without a trial")
}
