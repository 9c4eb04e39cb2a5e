// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Modules that are built: one file that includes little, and five that include much.
const small, large = "small", "large"

// modules maps each to its files.
func modules() map[string]map[string]string {
	const head = "// SPDX-License-Identifier: GPL-2.0\n#include <linux/module.h>\n"
	const foot = "MODULE_DESCRIPTION(\"Bench\");\nMODULE_LICENSE(\"GPL\");\n"
	much := map[string]string{}
	objects := ""
	for i := range 5 {
		name := fmt.Sprintf("part%d", i)
		objects += " " + name + ".o"
		much[name+".c"] = head + fmt.Sprintf("#include <net/sock.h>\n#include <linux/blkdev.h>\n#include <linux/pci.h>\n#include <linux/usb.h>\n"+
			"int %s(struct sk_buff *b);\nint %s(struct sk_buff *b) { return b->len; }\n", name, name)
	}
	much["part0.c"] += foot
	much["Kbuild"] = "obj-m := large.o\nlarge-y :=" + objects + "\n"
	return map[string]map[string]string{
		small: {"Kbuild": "obj-m := small.o\n", "small.c": head + foot},
		large: much,
	}
}

// build returns the script that builds a module against the tree that it is started in.
func (b *bench) build(module string) string {
	sources, work := filepath.Join(b.mem, "modules", module), filepath.Join(b.mem, "work")
	return fmt.Sprintf(`rm -rf '%s' && cp -r '%s' '%s' && exec make -s -j2 -C . M='%s' modules`, work, sources, work, work)
}

// kbuild measures building modules with all that pack --kbuild packs.
func (b *bench) kbuild() error {
	b.progress("packing what modules are built with")
	headers, err := exec.Command("tests/headers.sh", "tests/out/headers").Output()
	if err != nil {
		return fmt.Errorf("tests/headers.sh: %w", err)
	}
	packedFile, err := b.made("kbuild.tar.xz", func(path string) []string {
		return []string{b.program, "pack", "--kbuild", "-o", path, strings.TrimSpace(string(headers))}
	})
	if err != nil {
		return err
	}
	b.kbuildTree = filepath.Join(b.mem, "kbuild")
	if err := b.run(b.program, "extract", packedFile, b.kbuildTree); err != nil {
		return err
	}
	for module, files := range modules() {
		dir := filepath.Join(b.mem, "modules", module)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	for _, program := range []string{"make", "gcc", "as", "ld", "sh", "sed", "awk", "rm", "cp", b.compilerProper()} {
		keepInMemory(program)
	}
	stockFile, err := b.made("kbuild-stock.tar.xz", func(path string) []string {
		return []string{"sh", "-c", `tar -C "$1" --sort=name -cf - . | xz -T1 >"$2"`, "sh", b.kbuildTree, path}
	})
	if err != nil {
		return err
	}
	subjects, err := b.makeAll([]candidate{
		{cached, func() (*subject, error) { return b.kheadersfsCached(stockFile, kconfig) }},
		{packed, func() (*subject, error) { return b.kheadersfs(packedFile) }},
		{onTmpfs, func() (*subject, error) { return &subject{tree: b.kbuildTree}, nil }},
		{onExt4, func() (*subject, error) { return b.ext4(b.kbuildTree) }},
	}, b.kbuildTree)
	if err != nil {
		return err
	}
	for _, module := range []string{small, large} {
		if err := b.row(row{"kbuild", nil, func(p pass) error { return p.buildTwice(module) }}, subjects, min(b.rounds, few+1)); err != nil {
			return err
		}
		for _, s := range subjects {
			if s.command == nil || s.command[0] != b.program {
				continue
			}
			for round := range few {
				if err := b.countOnce(s, count{row: requestsOf(module), script: b.build(module)}, round); err != nil {
					return fmt.Errorf("%s: %s module: %w", s.name, module, err)
				}
			}
		}
	}
	return nil
}

// compilerProper returns what gcc starts.
func (b *bench) compilerProper() string {
	path, _ := exec.Command("gcc", "-print-prog-name=cc1").Output()
	return strings.TrimSpace(string(path))
}

func coldBuild(module string) string  { return "cold build: " + module }
func warmBuild(module string) string  { return "warm build: " + module }
func requestsOf(module string) string { return "requests of the " + module + " module" }

// buildTwice builds a module in a mount that nothing has been read from, and again.
func (p pass) buildTwice(module string) error {
	if err := dropCaches(); err != nil {
		return err
	}
	if _, err := p.timed(p.kbuildTree, "sh", "-c", p.build(small)); err != nil {
		return err
	}
	return p.with(p.s, func(dir string, _ time.Duration) error {
		for _, column := range []string{coldBuild(module), warmBuild(module)} {
			took, err := p.timed(dir, "sh", "-c", p.build(module))
			if err := p.note(column, took, err); err != nil {
				return err
			}
		}
		return nil
	})
}

// builds prints the times and the requests of builds.
func (b *bench) builds(p *printer) {
	lines := [][]string{{"", "small, ms (÷ ext4)", "large, ms (÷ ext4)", "small again", "large again", "requests: small", "large"}}
	for _, s := range []string{cached, packed, onTmpfs, onExt4} {
		line := []string{s}
		for _, c := range []string{coldBuild(small), coldBuild(large), warmBuild(small), warmBuild(large)} {
			line = append(line, b.cell(cell{c, s}, onExt4))
		}
		for _, module := range []string{small, large} {
			line = append(line, b.cell(cell{requestsOf(module), s}, ""))
		}
		lines = append(lines, line)
	}
	p.table(lines)
}
