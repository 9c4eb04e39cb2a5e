# SPDX-License-Identifier: Apache-2.0

PREFIX  ?= /usr/local
DESTDIR ?=
# mount(8) looks for helpers nowhere else.
SBINDIR ?= $(shell test -L /sbin && echo /usr/sbin || echo /sbin)
UNITDIR := $(PREFIX)/lib/systemd/system
UNITS   := $(wildcard contrib/systemd/*)
HELPERS := mount.kheadersfs mount.fuse.kheadersfs
GO      ?= go

VERSION := $(shell cat VERSION)
COMMIT  := $(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# Where mount points for kernel headers are: beside the headers of packages.
HEADERS := /usr/src/kheaders

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.6.1
GOVULNCHECK := v1.1.4

.PHONY: all
all: generated

BUILD = CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/kheadersfs

.PHONY: FORCE
bin/kheadersfs: FORCE
	$(BUILD)

# For another processor, as GOARCH names it.
bin/linux-%/kheadersfs: FORCE
	GOOS=linux GOARCH=$* $(BUILD)

# What the program prints to be installed with it. One for another machine does not run
# here: then it is built for this one, too.
.PHONY: generated
generated: bin/kheadersfs
	set -e; run=bin/kheadersfs; \
	if [ "$$($(GO) env GOOS GOARCH)" != "$$($(GO) env GOHOSTOS GOHOSTARCH)" ]; then \
		run=bin/kheadersfs.host; \
		CGO_ENABLED=0 GOOS=$$($(GO) env GOHOSTOS) GOARCH=$$($(GO) env GOHOSTARCH) \
			$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $$run ./cmd/kheadersfs; \
	fi; \
	for shell in bash zsh fish; do $$run completion $$shell >bin/completion.$$shell; done; \
	$$run cflags --for pkg-config --arch "$$($(GO) env GOARCH)" $(HEADERS) >bin/kheaders.pc

# As root there may be no Go: what make has built is taken.
.PHONY: install
install:
	test -x bin/kheadersfs && test -s bin/kheaders.pc || $(MAKE) all
	@mkdir -p $(DESTDIR)$(PREFIX)/bin && test -w $(DESTDIR)$(PREFIX)/bin || \
		{ echo 'hint: sudo make install, or make install PREFIX=DIR DESTDIR=DIR' >&2; exit 1; }
	install -D -m 0755 bin/kheadersfs $(DESTDIR)$(PREFIX)/bin/kheadersfs
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man5 docs/man/kheadersfs-archive.5
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man8 docs/man/kheadersfs.8
	install -D -m 0644 bin/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/kheadersfs
	install -D -m 0644 bin/completion.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_kheadersfs
	install -D -m 0644 bin/completion.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/kheadersfs.fish
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/pkgconfig bin/kheaders.pc
	install -d -m 0755 $(DESTDIR)$(HEADERS) $(DESTDIR)$(UNITDIR)
	set -e; for unit in $(UNITS); do sed 's,/usr/bin/,$(PREFIX)/bin/,' $$unit >$(DESTDIR)$(UNITDIR)/$${unit##*/}; done
	install -d -m 0755 $(DESTDIR)$(SBINDIR)
	set -e; for name in $(HELPERS); do \
		ln -sf $(PREFIX)/bin/kheadersfs $(DESTDIR)$(SBINDIR)/$$name; \
		ln -sf kheadersfs.8 $(DESTDIR)$(PREFIX)/share/man/man8/$$name.8; \
	done
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/lib/tmpfiles.d contrib/tmpfiles.d/kheadersfs.conf

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/kheadersfs $(addprefix $(DESTDIR)$(SBINDIR)/,$(HELPERS))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/,man/man5/kheadersfs-archive.5 man/man8/kheadersfs.8 \
		bash-completion/completions/kheadersfs zsh/site-functions/_kheadersfs \
		fish/vendor_completions.d/kheadersfs.fish pkgconfig/kheaders.pc)
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(notdir $(UNITS)))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/man/man8/,$(addsuffix .8,$(HELPERS))) $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/kheadersfs.conf
	rmdir $(DESTDIR)$(HEADERS) 2>/dev/null || true

# Debian's and rpm's packages in dist/, for this processor or GOARCH.
NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
.PHONY: deb rpm
deb rpm:
	contrib/packaging/package.sh $@ $(NFPM)

# Tarballs, their SBOMs and checksums, in dist/.
RELEASE_ARCHES := amd64 arm64 riscv64 s390x ppc64le 386
CYCLONEDX := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
.PHONY: release
release:
	contrib/packaging/release.sh $(CYCLONEDX) $(RELEASE_ARCHES)

# System packages for test, lint and demo, from Debian; only when missing.
.PHONY: deps
deps:
	tests/deps.sh test lint demo

# All tests, a list of what was skipped, and nothing left behind. A test meets the
# time limit only when it hangs.
.PHONY: test
test: all
	tests/deps.sh test
	$(GO) run ./tests/run -race -count=1 -timeout 2h ./tests ./...

# Tests that take minutes.
.PHONY: test-slow
test-slow: all
	tests/deps.sh test slow
	KHEADERSFS_SLOW=1 $(GO) run ./tests/run -count=1 -timeout 3h -run Slow ./...

# The loop before a commit, under a minute. It needs nothing but Go. What takes longest
# starts first.
.PHONY: check
check: format
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) run ./tests/run -short -count=1 -timeout 1h ./tests ./...

.PHONY: format
format:
	test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }

# Each processor that is promised.
ARCHES := amd64 arm64 riscv64 s390x ppc64le loong64 mips64le 386 arm

.PHONY: lint
lint: format
	tests/deps.sh lint
	set -e; for arch in $(ARCHES); do echo "vet $$arch"; GOARCH=$$arch $(GO) vet ./...; done
	$(GO) mod tidy -diff
	$(GO) run $(STATICCHECK) ./...
	shellcheck -x -P . .ci/run tests/*.sh kmod/*.sh contrib/packaging/*.sh
	mandoc -Tlint -Wwarning docs/man/*
	tests/licences.sh

# With the database of a certain day, so that nothing changes without a change here;
# make vuln VULNDB=latest looks into today's.
VULNDB := v0.0.0-20261105234957-e22db6528018
.PHONY: vuln
vuln:
	tests/vuln.sh $(GOVULNCHECK) $(VULNDB)

.PHONY: demo
demo: all
	tests/deps.sh demo
	tests/demo.sh

# Needs root. The other filesystems that it measures are installed here only.
.PHONY: bench
bench: all
	tests/deps.sh bench
	tests/bench.sh

# Each fuzzer for FUZZTIME.
FUZZTIME ?= 20s
.PHONY: fuzz
fuzz:
	tests/fuzz.sh $(FUZZTIME)

.PHONY: clean
clean:
	rm -rf bin dist tests/out
