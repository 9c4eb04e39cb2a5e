# SPDX-License-Identifier: Apache-2.0

PREFIX  ?= /usr/local
DESTDIR ?=
GO      ?= go

VERSION := $(shell cat VERSION)
COMMIT  := $(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# Where mount points for kernel headers are: beside the headers of packages.
HEADERS := /usr/src/kheaders

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.6.1

.PHONY: all
all: bin/kheadersfs

.PHONY: bin/kheadersfs
bin/kheadersfs:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/kheadersfs

# As root there may be no Go: what make has built is taken.
.PHONY: install
install:
	test -x bin/kheadersfs || $(MAKE) all
	install -D -m 0755 bin/kheadersfs $(DESTDIR)$(PREFIX)/bin/kheadersfs
	install -d -m 0755 $(DESTDIR)$(HEADERS)

# System packages for test, lint and demo, from Debian; only when missing.
.PHONY: deps
deps:
	tests/deps.sh

.PHONY: test
test: deps all
	$(GO) test -race -count=1 -timeout 20m ./...

.PHONY: lint
lint: deps
	test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) run $(STATICCHECK) ./...
	shellcheck .ci/run tests/*.sh
	tests/licences.sh

.PHONY: demo
demo: deps all
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
	rm -rf bin tests/out
