# Everything starts here: `make help`.
# Needs a Rust toolchain and python3; Postgres and nats-server are found or fetched by scripts/servers.py.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Runs a recipe's command with the two servers' paths in its environment.
WITH_SERVERS := while IFS= read -r server; do export "$$server"; done < <(scripts/servers.py) &&

# Tests that start servers of their own put their data where syncing costs nothing, if there is room.
SHM_KILOBYTES_MIN := 2000000
SHM_KILOBYTES := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $$4 }')
BERTH_EPHEMERAL_ROOT ?= $(shell [ "0$(SHM_KILOBYTES)" -ge $(SHM_KILOBYTES_MIN) ] && echo /dev/shm)
export BERTH_EPHEMERAL_ROOT

.NOTPARALLEL:
.PHONY: help run build bench bench-smoke servers test fmt lint deny clients test-rust clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

run: servers ## Postgres, nats-server and a worker of your own; ARGS='--nats-port 4222' and the like
	cargo build --release
	$(WITH_SERVERS) exec target/release/berth dev $(ARGS)

build: ## the binary, target/release/berth
	cargo build --release

bench: build servers ## berth beside what one would take instead, into bench/RESULTS.md; ARGS='--only hot' for a part
	$(WITH_SERVERS) bench/run.py $(ARGS)

# What needs nothing but berth's own servers; each for a second, and nothing is said about speed.
SMOKE := pgbench,hot,tail,live,receipts,two-workers,events,memory,due,cost
bench-smoke: servers ## does each measurement that needs no further download work?
	cargo build
	python3 -m unittest discover bench
	$(WITH_SERVERS) bench/run.py --smoke --berth target/debug/berth --only $(SMOKE)

servers: ## find or fetch Postgres and nats-server
	@scripts/servers.py

# What has to be fetched comes first, so that a machine without a network says so at once; the Rust tests come last.
test: servers clients lint deny bench-smoke test-rust ## everything that must hold before a change goes in

lint: ## format and lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

deny: ## licences, advisories, duplicate crates; skipped where cargo-deny is not installed
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; \
	else echo 'skipped: cargo-deny is not installed (cargo install cargo-deny)'; fi

# Exit status 3: node or npm is missing, which the tests say and, where CI is not set, put up with.
clients: ## fetch the NATS clients that the tests talk to a worker with
	@scripts/clients.py python >/dev/null
	@scripts/clients.py node >/dev/null || [ $$? -eq 3 ]

test-rust: servers ## unit and integration tests; TEST='--test stack' for some of them
	$(WITH_SERVERS) cargo test $(TEST)

fmt: ## format the Rust code
	cargo fmt

clean: ## remove what was built and what `make run` kept; no data outside this folder
	cargo clean
	rm -rf .berth bench/peers/target
