# Everything from a clone to a running server and to its tests. `make help` lists the targets.
#
#   make run DOMAIN=chat.example LISTEN=0.0.0.0,:: PORT=5222 DATA=/srv/xmpp
#
# What is installed is what the files in requirements/ pin, by hash, into .venv; nothing outside this folder is touched.
# A stamp in the environment names the content of pyproject.toml and of the pins that it was installed from: as long as
# both are the same, no target asks the network for anything.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CONFIG ?= config/local.toml
DOMAIN ?=
LISTEN ?=
PORT ?=
DIRECT_TLS_PORT ?=
DATA ?=
TESTS ?=
FUZZ_SECONDS ?= 60
SEED ?=
ROUNDS ?=
DATABASE ?=
ARCHIVE ?=
GROUPS ?=
SERVERS ?=
SUITE ?=
SMACK ?=
PROSODY ?=
SCREENSHOTS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check install --quiet

key = $(shell cat pyproject.toml requirements/$(1).txt | git hash-object --stdin)
RUN_STAMP := $(VENV)/.installed-run-$(call key,run)
DEV_STAMP := $(VENV)/.installed-dev-$(call key,dev)
FUZZ_STAMP := $(VENV)/.installed-fuzz-$(call key,fuzz)
E2E_STAMP := $(VENV)/.installed-e2e-$(call key,e2e)
AIOXMPP_STAMP := .venvs/aioxmpp/.installed-$(shell git hash-object requirements/aioxmpp.txt)
CONVERSE := 14.0.0
CONVERSE_SHA512 := 2c5520d37d230da955e3bbc8fefc953ea60f65f2585c56ee6eaf2fd1c1437b6cd735e786124dd4a74163fd64f34fab7ee9da3e700213a32ef77808fb44d0e3d9
CONVERSE_STAMP := .venvs/converse/.installed-$(CONVERSE)
LOCK_STAMP := .venvs/lock/.installed-7.6.2

##@ Run
.PHONY: run
run: $(RUN_STAMP) config/local.toml ## Serve: DOMAIN= LISTEN= PORT= DIRECT_TLS_PORT= DATA= CONFIG= (config/local.toml)
	@exec $(BIN)/xmpp-server serve --config '$(CONFIG)' --admin admin \
	  $(if $(DOMAIN),--domain '$(DOMAIN)') $(if $(LISTEN),--listen '$(LISTEN)') $(if $(PORT),--port '$(PORT)') \
	  $(if $(DIRECT_TLS_PORT),--direct-tls-port '$(DIRECT_TLS_PORT)') $(if $(DATA),--data '$(DATA)')

.PHONY: demo
demo: $(DEV_STAMP) ## Watch two people talk encrypted, and what the server stores of it; half a minute, nothing stays
	@$(BIN)/python -m tests.demo

.PHONY: install
install: $(RUN_STAMP) ## Only what `make run` installs

##@ Prove
.PHONY: test
test: $(DEV_STAMP) $(AIOXMPP_STAMP) ## All tests that need nothing from the system; TESTS='tests/unit -k sasl' for some
	@$(BIN)/pytest $(or $(TESTS),tests/unit tests/property tests/storage tests/scenarios tests/server tests/conformance)

.PHONY: lint
lint: $(DEV_STAMP) ## Style, formatting, types, layers, and whether the generated docs are up to date
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python docs/generate.py --check

.PHONY: interop
interop: $(DEV_STAMP) $(AIOXMPP_STAMP) ## Tests with clients and servers of the distribution (as root it installs them)
	@tests/interop/install.sh
	@$(BIN)/pytest $(or $(TESTS),tests/interop)

.PHONY: e2e
e2e: $(E2E_STAMP) $(CONVERSE_STAMP) ## Converse.js and the start page in Chromium (as root it installs that); SCREENSHOTS=1 for docs/
	@tests/e2e/install.sh chromium
	@SCREENSHOTS='$(SCREENSHOTS)' $(BIN)/pytest $(or $(TESTS),tests/e2e)

.PHONY: plays
plays: $(DEV_STAMP) ## Scansion plays, such as Prosody's: PLAYS= the folder with the *.scs, which is not ours
	@PLAYS='$(or $(PLAYS),$(error PLAYS= is missing, the folder with the plays))' $(BIN)/pytest tests/interop/test_plays.py

.PHONY: conformance
conformance: $(DEV_STAMP) ## The suites of others, here and on peers, to docs/conformance.md: SERVERS= SUITE= SMACK= PROSODY= (git)
	@SUITE='$(SUITE)' SMACK='$(SMACK)' PROSODY='$(PROSODY)' tests/conformance/build.sh build/conformance
	@$(BIN)/python -m tests.conformance $(if $(SERVERS),--servers '$(SERVERS)')

.PHONY: chaos
chaos: $(DEV_STAMP) ## Kill server, database and links under load, then compare ids: SEED= FIRST= ROUNDS= DATABASE= ARCHIVE= GROUPS=on
	@$(BIN)/python -m tests.chaos$(if $(filter on,$(GROUPS)),.groups) $(if $(SEED),--seed '$(SEED)') \
	  $(if $(FIRST),--first '$(FIRST)') $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(DATABASE),--database '$(DATABASE)') \
	  $(if $(ARCHIVE),--archive '$(ARCHIVE)')

.PHONY: fuzz
fuzz: $(FUZZ_STAMP) ## Coverage-guided fuzzing of the framer for FUZZ_SECONDS= (60)
	@$(BIN)/python -m tests.fuzz.fuzz_framing -max_total_time='$(FUZZ_SECONDS)'

.PHONY: bench
bench: $(DEV_STAMP) ## Figures by step, and beside the peers that are installed, to docs/benchmarks.md; BENCH=--help for options
	@$(BIN)/python -m bench.run $(BENCH)

##@ Develop
.PHONY: format
format: $(DEV_STAMP) ## Rewrite the code in the project's style
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix .

.PHONY: docs
docs: $(DEV_STAMP) ## Write docs/xeps.md, docs/doap.xml, docs/configuration.md and config/xmpp-server.toml anew
	@$(BIN)/python docs/generate.py

.PHONY: dev
dev: $(DEV_STAMP) $(AIOXMPP_STAMP) ## Only what `make test` and `make lint` install

COMPILE = .venvs/lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options $(LOCK_FLAGS)
.PHONY: lock
lock: $(LOCK_STAMP) ## Write requirements/*.txt anew from pyproject.toml; LOCK_FLAGS=--upgrade for the newest versions
	@$(COMPILE) --all-build-deps -o requirements/run.txt pyproject.toml
	@$(COMPILE) --all-build-deps --extra test --extra lint -c requirements/run.txt -o requirements/dev.txt pyproject.toml
	@$(COMPILE) --extra fuzz -c requirements/dev.txt -o requirements/fuzz.txt pyproject.toml
	@$(COMPILE) --extra e2e -c requirements/dev.txt -o requirements/e2e.txt pyproject.toml
	@$(COMPILE) -o requirements/aioxmpp.txt requirements/aioxmpp.in

.PHONY: clean
clean: ## Remove environments, caches and builds; data/ stays
	@rm -rf $(VENV) .venvs build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' \
	  $(firstword $(MAKEFILE_LIST))

config/local.toml:
	@cp config/xmpp-server.toml $@

# Environments
# The distribution's first: it is built with profile-guided optimisation, and the server takes a quarter less CPU on it
# than on what is compiled without, as version managers do.
FIND_PYTHON = for python in $(or $(PYTHON),/usr/bin/python3.11 /usr/bin/python3 python3.11 python3 python); do \
	  "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && found="$$python" && break; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "Python 3.11 with its venv module is needed and was not found (on Debian: apt-get install python3.11-venv)." >&2; \
	  echo "Name it if it has another name: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; "$$found" -m venv

$(BIN)/python:
	@$(FIND_PYTHON) $(VENV)

$(RUN_STAMP): | $(BIN)/python
	@echo "Installing what the server needs into $(VENV) (once)"
	@$(BIN)/python $(PIP) -r requirements/run.txt
	@$(BIN)/python $(PIP) --quiet --no-deps --no-build-isolation --no-index -e .
	@rm -f $(VENV)/.installed-run-* && touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo "Installing what the tests need into $(VENV) (once)"
	@$(BIN)/python $(PIP) -r requirements/dev.txt
	@rm -f $(VENV)/.installed-dev-* && touch $@

$(FUZZ_STAMP): $(DEV_STAMP)
	@$(BIN)/python $(PIP) -r requirements/fuzz.txt
	@rm -f $(VENV)/.installed-fuzz-* && touch $@

$(E2E_STAMP): $(DEV_STAMP)
	@$(BIN)/python $(PIP) -r requirements/e2e.txt
	@rm -f $(VENV)/.installed-e2e-* && touch $@

$(CONVERSE_STAMP):
	@tests/e2e/install.sh npm
	@echo "Taking Converse.js $(CONVERSE) from npm into .venvs/converse (once)"
	@rm -rf .venvs/converse && mkdir -p .venvs/converse
	@cd .venvs/converse && npm pack --silent converse.js@$(CONVERSE) >/dev/null && \
	  echo '$(CONVERSE_SHA512)  converse.js-$(CONVERSE).tgz' | sha512sum --check --quiet && tar -xzf converse.js-$(CONVERSE).tgz
	@touch $@

$(AIOXMPP_STAMP):
	@echo "Installing aioxmpp into .venvs/aioxmpp (once)"
	@rm -rf .venvs/aioxmpp
	@$(FIND_PYTHON) .venvs/aioxmpp
	@.venvs/aioxmpp/bin/python $(PIP) -r requirements/aioxmpp.txt
	@touch $@

$(LOCK_STAMP):
	@$(FIND_PYTHON) .venvs/lock
	@.venvs/lock/bin/python $(PIP) pip-tools==7.6.2
	@touch $@
