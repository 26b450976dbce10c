# The one entry point: `make` lists the targets, and continuous integration runs the same ones.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
# The interpreter that the environment is made with: `make setup BASE_PYTHON=python3.12`.
BASE_PYTHON ?= $(shell command -v python3.11 || command -v python3)
MINUTES ?= 30
# How long each target is fuzzed.
SECONDS ?= 60
# How many storms or worlds, from which seed on: `make storms SEEDS=20000 FROM=1`.
STORMS := $(or $(SEEDS),4000)
WORLDS := $(or $(SEEDS),2000)
PROFILE ?= loss
# Measurements that compare with a data plane that does not encrypt, and where it is built.
UNENCRYPTED := comparison throughput
NULL_CIPHER := build/null-cipher
# What the built extension depends on; cargo finds out what of it is stale.
NATIVE := pyproject.toml Cargo.toml Cargo.lock $(shell find crates -name '*.rs' -o -name Cargo.toml)

.PHONY: help setup build check test storms explore sim demo soak doctor bless docs bench fuzz clean system root bytecode traffic null-cipher

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: system $(STAMPS)/native ## Make .venv, install what is missing, build; quick when nothing changed.

build: $(STAMPS)/native ## Build the extension, in release mode, into .venv.

check: setup ## Format, lint, types, boundaries, generated pages, style, unit tests. Under a minute.
	@tools/rust_toolchain.sh
	@$(PYTHON) tools/checks.py check

test: setup ## Everything that must pass before a change lands. As root: also the network tests.
	@tools/rust_toolchain.sh
	@$(PYTHON) tools/checks.py test

storms: ## Try the packet engine in thousands of seeded storms: make storms SEEDS=4000 FROM=1000.
	@tools/rust_toolchain.sh
	@SEEDS=$(STORMS) FROM=$(or $(FROM),1000) cargo test --release --quiet --locked -p jump-proto --test jumps \
		-- --ignored --nocapture thousands_of_storms

explore: setup ## Search everything that a few faults can lead to, to the end: make explore DEPTH=30.
	@$(PYTHON) -m jumping_vpn.sim.explore $(if $(DEPTH),--depth $(DEPTH))

sim: setup ## Play seeded worlds in virtual time, each twice: make sim SEEDS=100000, or one again: make sim SEED=42.
	@$(PYTHON) -m jumping_vpn.sim.simulate \
		$(if $(SEED),--seed $(SEED),--seeds $(WORLDS) --first $(or $(FROM),1))

demo: root setup bytecode ## Watch a download survive every fault. Needs root, for network namespaces.
	@$(PYTHON) -m jumping_vpn.lab.demo

soak: root setup ## Run the echo stream where it is hard: make soak PROFILE=loss|bursts|jitter|busy|stopped MINUTES=60.
	@$(PYTHON) -m jumping_vpn.lab.endure --profile $(PROFILE) --minutes $(MINUTES) --output build/soak-$(PROFILE).json

doctor: ## Say what this machine lacks, and how to get it.
	@if [ -x $(VENV)/bin/jvpn ]; then $(VENV)/bin/jvpn doctor; \
	else tools/system_packages.sh --list; echo "the rest is known after: make setup"; exit 1; fi

bless: setup ## Rewrite transcripts, generated pages and the style baseline; show the difference.
	@$(PYTHON) tools/bless.py
	@$(PYTHON) tools/generate_docs.py
	@$(PYTHON) tools/style_ratchet.py --tighten
	@git --no-pager diff --stat

docs: setup ## Write the pages of docs/ that are made from the code.
	@$(PYTHON) tools/generate_docs.py

bench: setup bytecode $(if $(NAME),traffic) $(if $(filter $(NAME),$(UNENCRYPTED)),null-cipher) ## Measure, and keep the figures: make bench NAME=comparison PEERS=nebula. Without NAME: the list.
	@PYTHONPATH=python:tests $(PYTHON) -m bench $(NAME) $(if $(PEERS),--peers $(PEERS)) $(OPTIONS)

bench-peers: root ## Install the VPNs to compare with, as far as Debian packages them.
	@tools/bench_peers.sh

fuzz: system ## Break decoders, intake and offloads, a minute each: make fuzz SECONDS=600 TARGET=intake.
	@tools/rust_toolchain.sh
	@tools/fuzz.sh $(SECONDS) $(TARGET)

clean: ## Remove everything that can be made again.
	rm -rf $(VENV) target build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find python -name '*.so' -delete

# Compiled ahead, because not every environment lets Python keep what it compiles on the way: a
# gateway that compiles itself at each start is back half as fast.
bytecode:
	@$(PYTHON) -m compileall -q python

# The benchmark's own generators and counters of packets.
traffic:
	@cargo build --quiet --release --locked --package jump-io --examples

# The same package without a cipher, which nothing but the benchmark knows how to start: its module
# bears a name that the product does not import.
null-cipher: $(STAMPS)/native
	@echo "bench: the data plane without a cipher, to compare with (minutes the first time)"
	@PYO3_PYTHON="$(CURDIR)/$(PYTHON)" RUSTFLAGS="--cfg jump_null_cipher" cargo build --quiet --release \
		--locked --package jump-py --target-dir $(NULL_CIPHER)/target
	@rm -rf $(NULL_CIPHER)/jumping_vpn && cp -r python/jumping_vpn $(NULL_CIPHER)/
	@rm -f $(NULL_CIPHER)/jumping_vpn/_native*
	@cp $(NULL_CIPHER)/target/release/lib_native.so $(NULL_CIPHER)/jumping_vpn/_null_cipher.abi3.so
	@echo "from jumping_vpn._null_cipher import *" > $(NULL_CIPHER)/jumping_vpn/_native.py

root:
	@[ "$$(id -u)" = 0 ] || { echo "this makes network namespaces, which needs root: sudo make $(MAKECMDGOALS)"; exit 5; }

system:
	@BASE_PYTHON="$(BASE_PYTHON)" tools/system_packages.sh

$(STAMPS)/python: requirements.lock
	@echo "setup: the environment $(VENV), as requirements.lock says"
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "setup: Python 3.11 or newer is needed; name it: make setup BASE_PYTHON=..."; exit 1; }
	@[ -x $(PYTHON) ] || $(BASE_PYTHON) -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/native: $(STAMPS)/python $(NATIVE)
	@tools/rust_toolchain.sh
	@echo "setup: the extension, in release mode (minutes the first time)"
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PYTHON) -m pip install --quiet \
		--disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
