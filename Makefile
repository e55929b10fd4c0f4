# Short names for what scripts/ and Meson do. Every target works without a terminal.
#
#   make demo      build the tool, make a snapshot of this machine's packages, read it back
#   make test      all suites with gcc, ASan+UBSan and TSan; last line: N passed, N failed, N skipped
#   make soak      long random runs on new seeds: SECONDS=600
#   make bench     all benchmarks (QUICK=1: smaller data, two minutes); writes build/bench.jsonl
#   make build     build/cli/shardy and the library
#   make check     format, tidy, layers, banned calls, headers, symbols, sizes, words, man pages
#   make install   into PREFIX (default /usr/local); DESTDIR is honoured
#   make clean     remove the build folders

BUILD ?= build
PREFIX ?= /usr/local
MESON_FLAGS ?=
SECONDS ?= 600

.PHONY: help build demo test soak bench check install clean

help:
	@sed -n 's/^#   //p' Makefile

build:
	@scripts/bootstrap build
	@scripts/build $(BUILD) $(MESON_FLAGS)

demo: build
	@scripts/demo $(BUILD)

test:
	@scripts/bootstrap test
	@scripts/test

soak:
	@scripts/bootstrap test
	@scripts/soak $(SECONDS)

bench:
	@scripts/bootstrap bench
	@scripts/bench $(if $(filter-out 0,$(QUICK)),--quick)

check:
	@scripts/bootstrap test
	@scripts/build build
	@scripts/check

install:
	@scripts/bootstrap build
	@scripts/build $(BUILD) -Dprefix=$(abspath $(PREFIX)) $(MESON_FLAGS)
	@meson install -C $(BUILD) --no-rebuild --quiet
	@echo "installed into $(DESTDIR)$(abspath $(PREFIX))"

clean:
	rm -rf build build-asan build-tsan build-tidy
