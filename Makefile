# Every target sets up what it needs on a fresh machine: `make demo`, `make test` and `make lint` need
# Node (>= 20.19) and npm; interop, conformance and bench also Go and Python, and as root apt-get.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

bin := node_modules/.bin
# npm ci starts by removing node_modules, and the stamp with it.
modules := node_modules/.stamp
bundle := dist/bulla.js
builders := $(addprefix test/support/,build.ts code-cache.ts program-parts.ts warm-up.ts process.ts)
sources := $(shell find src -name '*.ts' 2>/dev/null)
vitest := $(bin)/vitest run --config

.PHONY: help demo test lint types style format build bench interop conformance fuzz soak mutation release peers clean

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | expand -t 14

demo: $(bundle) ## push, sign, copy and verify a real image, and see forgeries refused
	@$(bin)/tsx test/demo/demo.ts

test: $(modules) ## type check, lint, build and all tests that need nothing but Node
	@$(MAKE) --no-print-directory --jobs=3 types style $(bundle)
	@$(vitest) test/vitest.config.ts

lint: types style ## type check, and Biome's lint, import table and format

types: $(modules)
	$(bin)/tsc --noEmit

style: $(modules)
	$(bin)/biome check --error-on-warnings .

format: $(modules) ## what Biome can put right by itself
	$(bin)/biome check --write .

build: $(bundle) ## dist/bulla.js, the command, compiled; dist/lib, the library with its types

bench: $(bundle) peers ## measure against the peers (BENCH_SIZE=small|full, BENCH=copy,verify,many,...)
	@$(bin)/tsx test/bench/main.ts

interop: $(bundle) peers ## with the real registries and tools of others
	@$(vitest) test/interop/vitest.config.ts

conformance: $(bundle) peers ## the conformance suites (checkouts: TUF_CONFORMANCE, SIGSTORE_CONFORMANCE)
	@$(vitest) test/conformance/vitest.config.ts

fuzz: $(modules) ## random and mutated input through every parser (FUZZ_SECONDS, FUZZ_SEED)
	@timeout --foreground $$((2 * $${FUZZ_SECONDS:-60} + 300)) $(vitest) test/fuzz/vitest.config.ts

soak: $(bundle) peers ## long runs: kill -9, memory, concurrency (CROWD_RUNS, CROWD_SIZE, CROWD_SEED)
	@$(vitest) test/soak/vitest.config.ts

mutation: $(modules) ## change what refuses, one place at a time: do tests notice? (ROOM=signatures, MUTATION_SEED, MUTATION_COUNT)
	@nice $(bin)/tsx test/mutation/main.ts

release: $(modules) ## dist/release: package, executable, image, bill of materials; signed and verified
	@test/interop/peers.sh node22 node24 postject
	@$(bin)/tsx test/support/release/main.ts

peers: ## install the tools of others that tests and measurements use
	@test/interop/peers.sh

clean: ## everything that the other targets make here
	rm -rf dist coverage .cache node_modules

$(modules): package.json package-lock.json
	npm ci
	@touch $@

$(bundle): $(sources) $(modules) src/tsconfig.lib.json $(builders)
	@$(bin)/tsx test/support/build.ts
