# Everything a newcomer types. `make` alone says what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-chaos lint audit fuzz bench down clean

VENV := .venv
BIN := $(VENV)/bin
# A python3.11 that really is one: pyenv puts a stand-in on the PATH even for versions that are not active.
IS_PYTHON := import sys; sys.exit(sys.version_info[:2] != (3, 11))
# One line for pip: uv with its hashes, as the lock file has them.
UV_OF_LOCK := awk '/^[a-z]/ {keep = /^uv==/} keep' requirements.lock
# uv takes the package index and the certificates that pip was told to use.
UV_ENVIRONMENT := UV_NATIVE_TLS=true $${PIP_INDEX_URL:+UV_DEFAULT_INDEX="$$PIP_INDEX_URL"}
# How long `make fuzz` looks at each reader of foreign bytes.
SECONDS := 60
AUDIT := $(BIN)/uv tool run --from pip-audit==2.10.1 pip-audit

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.ready ## Set up everything that the other targets need

demo: setup ## Run one trading day through everything and verify it (DATA=file for a real floorsheet)
	@$(BIN)/tickcast demo $(if $(DATA),--data "$(DATA)")

test: lint ## Check the code and run all tests, two files at a time
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-chaos: setup ## Run the tests that take minutes and a quiet machine: failures, overload, upgrades of a real day
	@$(BIN)/pytest -m chaos

lint: setup ## Check form and types of the code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

audit: setup ## Look for known vulnerabilities in the locked packages; asks a service on the internet
	@$(UV_ENVIRONMENT) timeout 300 $(AUDIT) --requirement requirements.lock --require-hashes --disable-pip \
	  --progress-spinner off --timeout 15 >$(VENV)/audit.log 2>&1; code=$$?; \
	if grep -q '^Found ' $(VENV)/audit.log; then cat $(VENV)/audit.log; exit 1; fi; \
	if [ $$code -ne 0 ] || grep -q 'could not be audited' $(VENV)/audit.log; then \
	  echo 'Not audited: the list of vulnerabilities does not answer for every package from here; $(VENV)/audit.log says which and why.' >&2; \
	  exit 2; \
	fi; \
	echo 'No known vulnerability in the packages of requirements.lock.'

fuzz: setup ## Look for inputs that break a parser or a codec (SECONDS=60 for each)
	@$(UV_ENVIRONMENT) $(BIN)/uv pip install --quiet --python $(BIN)/python --target $(VENV)/fuzz atheris==3.0.0
	@for target in tick feed file state; do \
	  PYTHONPATH=$(VENV)/fuzz $(BIN)/python tests/fuzz/search.py $$target \
	    -max_total_time=$(SECONDS) -max_len=1000 -verbosity=0 || exit 1; \
	done

bench: setup ## Measure the job beside its peers and draw docs/bench.svg (hours; ARGS='--rounds 1 --ticks 200000' for less)
	@$(UV_ENVIRONMENT) $(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --editable '.[bench]'
	@$(BIN)/tickcast bench $(ARGS)
	@$(BIN)/python -m benchmarks.chart .tickcast/bench/result.json docs/bench.svg

down: setup ## Stop the local stack; its data stay
	@$(BIN)/tickcast down

clean: ## Stop the local stack and remove its data and everything that was set up
	@if [ -e $(VENV)/.ready ]; then $(BIN)/tickcast down --purge; fi
	@rm -rf $(VENV) .tickcast .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

$(VENV)/.ready: requirements.lock pyproject.toml
	@python=; for candidate in python3.11 python3 python; do \
	  if $$candidate -c '$(IS_PYTHON)' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'Python 3.11 is needed and was not found: install it, for instance with `apt-get install python3.11 python3.11-venv` or `pyenv install 3.11`, so that `python3.11` starts it.' >&2; \
	  exit 1; \
	fi; \
	$$python -m console.stack.java || exit 1; \
	$(BIN)/python -c '$(IS_PYTHON)' 2>/dev/null || $$python -m venv --clear $(VENV) || exit 1
	@$(UV_OF_LOCK) > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock
	@$(UV_ENVIRONMENT) $(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/tickcast doctor --fetch
	@$(BIN)/python -m jobs.workers.compile
	@touch $@
