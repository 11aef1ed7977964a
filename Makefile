# What a newcomer and CI call. `make help` lists it. Everything works from a fresh clone with Rust, Node.js and apt.

PROFILE := quick
BIN := target/$(PROFILE)
DATA_DIR ?= .data
LISTEN ?= 127.0.0.1:8080

.PHONY: help demo demo-distributed services test check test-rust test-web test-browser test-build faults flood bench crowd build pages setup setup-test clean-demo

help: ## List what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: build ## Run the whole site at http://127.0.0.1:8080, with a sale that opens in 30 seconds
	exec $(BIN)/miaosha serve --demo --data-dir $(DATA_DIR) --listen $(LISTEN)

services: setup-test ## Real Redis Cluster, RabbitMQ, MariaDB with replicas, until interrupted
	@cargo run --quiet --profile $(PROFILE) -p miaosha-testkit --bin services

demo-distributed: setup-test build ## The whole site on them behind Nginx, two processes of each role, at http://127.0.0.1:8080
	cargo build --profile $(PROFILE) -p miaosha-testkit --bin services
	exec $(BIN)/services --site $(BIN)/miaosha --port $(lastword $(subst :, ,$(LISTEN)))

test: setup-test check test-web test-rust test-browser ## Every test of the project

check: setup ## Formatting, lints, and the syntax of the k6 scripts
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --profile $(PROFILE) -- -D warnings
	for script in load/k6/*.js; do node --input-type=module --check - < $$script || exit 1; done

test-rust: test-build ## Rules, adapters, simulation, HTTP, push, crashes, real services
	$(BIN)/services -- cargo test --workspace --profile $(PROFILE)

test-web: web/node_modules/.package-lock.json ## The pages' own tests
	cd web && npm run --silent check && npm test --silent

test-browser: test-build e2e/node_modules/.package-lock.json ## Journeys in a real browser on the real binary
	cd e2e && MIAOSHA=../$(BIN)/miaosha node --test --test-concurrency=1

faults: setup-test pages ## The long fault runs; they print their counts
	cargo test --profile $(PROFILE) -p miaosha --test faults -- --nocapture
	FLEET_PEOPLE=100000 FLEET_PAGES=100000 FLEET_SEEDS=20 OUTAGE_ANSWER_MS=1000 OUTAGE_NORMAL_MS=5000 \
	  cargo test --profile $(PROFILE) -p miaosha --test fleet -- --nocapture --test-threads=1
	cargo build --profile $(PROFILE) -p miaosha-testkit --bin services
	DEADLINE_PEOPLE=10000 DEADLINE_SPREAD_S=200 $(BIN)/services -- \
	  cargo test --profile $(PROFILE) -p miaosha-distributed --test sale -- --nocapture

# What is measured is what is shipped; it builds for long. PROFILE=quick for a look.
flood bench crowd: PROFILE := release

flood: setup-test pages ## Whether the site stays usable while its buy route is flooded; FLOOD='--help' for its flags
	cargo build --profile $(PROFILE) -p miaosha-load
	cargo bench --profile $(PROFILE) -p miaosha --bench flood -- $(FLOOD)

bench: setup-test pages ## Every benchmark in turn, for hours, with its figures as JSON in target/figures; BENCH=--quick for a look
	cargo build --profile $(PROFILE) -p miaosha-load
	scripts/bench $(PROFILE) $(BENCH)

crowd: setup-test pages ## What very many sockets cost, and how fast they hear; CROWD='--help' for what can be measured, IN=scripts/own-network for a million
	cargo build --profile $(PROFILE) -p miaosha-load
	cargo bench --profile $(PROFILE) -p miaosha --bench crowd --no-run
	$(IN) cargo bench --profile $(PROFILE) -p miaosha --bench crowd -- $(CROWD)

build: setup pages ## The binaries, optimised, without link-time optimisation
	cargo build --profile $(PROFILE) -p miaosha -p miaosha-load

test-build: setup-test pages
	cargo test --workspace --profile $(PROFILE) --no-run

pages: web/dist/index.html ## The built pages, which go into the binary

setup:
	@scripts/setup build

setup-test:
	@scripts/setup test

PAGE_SOURCES := $(shell find web/src web/public -type f 2>/dev/null) web/index.html web/vite.config.ts

web/dist/index.html: web/node_modules/.package-lock.json $(PAGE_SOURCES)
	cd web && npm run --silent build
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json | setup
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

clean-demo: ## Forget the demo's data
	rm -rf $(DATA_DIR)
