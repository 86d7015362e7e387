# Every target sets up what it needs by itself; `make` alone lists them.
#
#   make PYTHON=/path/to/python3.12 test    another Python for .venv (when .venv is made)
#   make WORKERS=4 test                     tests side by side
#   make test-fast ARGS="-k psi -x"         more words for pytest

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-fast test-long check bench docs clean lock servers

export PYTHON
WORKERS ?= 2
ARGS ?=

run := .venv/bin/python -m
pytest := $(run) pytest -n $(WORKERS) --dist worksteal
dev := .venv/ready-for-dev
demo := .venv/ready-for-demo

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(demo) ## A real year of flights under watch, with a dashboard at the end
	.venv/bin/python -m watchkeeper demo $(ARGS)

test: check servers ## All checks and tests but the long ones, with the real servers and a browser
	$(pytest) -m "not long" $(ARGS)

test-fast: $(dev) ## The tests that need neither servers nor patience (under 4 minutes)
	$(pytest) -m "not slow and not long and not server and not browser" $(ARGS)

test-long: $(dev) servers ## The long tests alone: simulations, kill sweeps and replays in full size
	$(pytest) -m long --timeout 3600 $(ARGS)

check: $(dev) ## Format, lint, types, floors, docs up to date
	$(run) ruff format --check .
	$(run) ruff check .
	$(run) mypy
	.venv/bin/lint-imports --no-cache
	.venv/bin/python scripts/write_docs.py --check

bench: $(dev) ## Run every benchmark, peers in their own environments
	$(run) benchmarks.run_all $(ARGS)

docs: $(dev) ## Write the generated pages of docs/
	.venv/bin/python scripts/write_docs.py

lock: $(dev) ## Resolve the dependencies again (UPGRADE=1: to their newest versions)
	scripts/lock.sh

clean: ## Remove everything that these targets made
	rm -rf .venv .venvs .demo dist build .cache .pytest_cache .ruff_cache .mypy_cache \
		.import_linter_cache .hypothesis benchmarks/results
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

servers:
	@scripts/install_debian.sh

# The checkout is installed in place, without looking up anything: its build backend is pinned too.
in-place := $(run) pip --quiet --no-input --disable-pip-version-check install \
	--no-deps --no-build-isolation --editable .

# What dev needs holds what the demo needs, so one environment serves both.
$(dev): requirements/dev.txt pyproject.toml scripts/make_venv.sh
	@scripts/make_venv.sh .venv requirements/dev.txt
	@$(in-place)
	@touch $(demo) $@

$(demo): requirements/demo.txt pyproject.toml scripts/make_venv.sh
	@scripts/make_venv.sh .venv requirements/demo.txt
	@$(in-place)
	@touch $@
