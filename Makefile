# relogit: `make` alone lists the targets. Needs GNU make, git and a Python of at least 3.11; nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench-ready

CHECK_VERSION := import sys; sys.exit(sys.version_info < (3, 11))
SHELL_SCRIPTS := .ci/run
COMPOSE_FILES := docker/compose.yaml docker/compose.gpu.yaml

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint types bench chaos soak serve demo-data screenshots clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Each target sets up what it needs. To choose:"
	@echo "  another Python                     make setup PYTHON=/path/to/python3.12"
	@echo "  tests with their coverage          make test COVERAGE=1"
	@echo "  only one of the benchmarks         make bench ONLY=reuse"
	@echo "  fewer kills, or others             make chaos KILLS=200 SEED=2"
	@echo "  a longer soak                      make soak MINUTES=120"
	@echo "  PyTorch without CUDA (GBs less)    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup"

setup: $(READY) ## make .venv with the service, the relogit command and the developers' tools

# One pip run with the constraints: asked for alone, "torch" may resolve to another build than the pinned one.
$(READY): pyproject.toml .ci/constraints.txt
	@command -v "$(PYTHON)" >/dev/null || \
	  { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python3.12"; exit 1; }
	@"$(PYTHON)" -c '$(CHECK_VERSION)' || \
	  { echo "relogit needs Python 3.11 or newer, and $(PYTHON) is $$("$(PYTHON)" --version 2>&1). Name another: make setup PYTHON=/path/to/python3.12"; exit 1; }
	@{ $(BIN)/python -c '$(CHECK_VERSION)' && $(BIN)/python -m pip --version; } >/dev/null 2>&1 || \
	  { echo "Making $(VENV) with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv --clear $(VENV); } || \
	  { echo "$(PYTHON) could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing relogit and what it needs into $(VENV); the first time this takes minutes"
	@$(BIN)/python -m pip install --disable-pip-version-check -c .ci/constraints.txt -e '.[service,dev]'
	@touch $@
	@echo "Ready: $(BIN)/relogit --help"

demo: $(READY) ## run the workflow on real images: recompute, verify, combine, reject, evaluate; files in outputs/demo*
	@$(BIN)/python -m docs.demo

JOBS ?= 2
COVERAGE ?=
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadscope
test: $(READY) ## run the quick tests, two at a time (JOBS=1: one after the other), some 4 minutes
	@$(PYTEST) -m "not slow" $(if $(COVERAGE),--cov --cov-report=term:skip-covered)

test-slow: $(READY) ## run the slow tests: kills, hangs, full disks, soaks, large networks, some 6 minutes
	@$(PYTEST) -m slow

lint: $(READY) ## check style, import rules, shell, YAML and the Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/shellcheck $(SHELL_SCRIPTS)
	@$(BIN)/yamllint --strict $(COMPOSE_FILES)
	@$(BIN)/hadolint Dockerfile

types: $(READY) ## check types with mypy, strict
	@$(BIN)/mypy

bench: $(BENCH_READY) ## measure speed, memory and latency, some 10 minutes on two cores (docs/performance.md)
	@$(BIN)/python -m benchmarks $(ONLY)

$(BENCH_READY): $(READY)
	@echo "Installing what the benchmarks compare with into $(VENV)"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -c .ci/constraints.txt -e '.[service,dev,bench]'
	@touch $@

KILLS ?= 1000
SEED ?= 1
chaos: $(READY) ## kill the service 1,000 times at its fault points, and prove that nothing is lost (docs/reliability.md)
	@$(BIN)/python -m tests.chaos --kills $(KILLS) --seed $(SEED)

MINUTES ?= 10
soak: $(READY) ## use the service for 10 minutes, and see that memory, descriptors and disk stay flat (docs/reliability.md)
	@$(BIN)/python -m tests.chaos.soak --minutes $(MINUTES) --seed $(SEED)

serve: $(READY) ## run the service on 127.0.0.1:8000, or as RELOGIT_* settings and .env say
	@$(BIN)/python -m app

demo-data: $(READY) ## make the demo's data set and train its experts again (minutes)
	@$(BIN)/python data/digits_lt/make_digits_lt.py

screenshots: $(READY) ## make the pictures in docs/images again, in Chromium (a minute)
	@$(BIN)/python -m docs.screenshots

clean: ## remove .venv and the tools' caches; outputs, data and checkpoints stay
	@rm -rf $(VENV) build clients/relogit.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find $(wildcard app worker clients data/digits_lt docs tests benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +
