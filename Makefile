# The door to the build, which is CMake's: docs/building.md. Every target may be the first one.
PRESET ?= release
PREFIX ?= /usr/local

.PHONY: build install demo check bench-peers format format-check clean help

build: ## what users run, in build/release (another: make PRESET=debug)
	@scripts/deps
	@scripts/build $(PRESET)

install: build ## library, program, headers and man pages into PREFIX (/usr/local), below DESTDIR
	@DESTDIR='$(DESTDIR)' cmake --install build/$(PRESET) --prefix '$(PREFIX)'

demo: ## a real multi-query model writes text
	@scripts/demo

check: ## all tests that need no network, and those on real models where they can be had
	@scripts/check

bench-peers: ## attention beside other systems (docs/performance.md): make bench-peers ARGS='--ik-llama DIR'
	@scripts/deps --python
	@scripts/build -q $(PRESET) mqa_cli
	@scripts/bench-peers --mqa build/$(PRESET)/src/cli/mqa $(ARGS)

format: ## clang-format over all sources
	@scripts/format

format-check: ## fails where `make format` would change something
	@scripts/format --check

clean: ## removes build/ (fetched models stay)
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1 \t\2/p' Makefile | expand -t 20
