# Everything a newcomer types. `make` alone says what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-chaos lint down clean

VENV := .venv
BIN := $(VENV)/bin
# A python3.11 that really is one: pyenv puts a stand-in on the PATH even for versions that are not active.
IS_PYTHON := import sys; sys.exit(sys.version_info[:2] != (3, 11))
# One line for pip: uv with its hashes, as the lock file has them.
UV_OF_LOCK := awk '/^[a-z]/ {keep = /^uv==/} keep' requirements.lock
# uv takes the package index and the certificates that pip was told to use.
UV_ENVIRONMENT := UV_NATIVE_TLS=true $${PIP_INDEX_URL:+UV_DEFAULT_INDEX="$$PIP_INDEX_URL"}

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.ready ## Set up everything that the other targets need

demo: setup ## Run one trading day through everything and verify it (DATA=file for a real floorsheet)
	@$(BIN)/tickcast demo $(if $(DATA),--data "$(DATA)")

test: lint ## Check the code and run all tests
	@$(BIN)/pytest

test-chaos: setup ## Run the tests that take minutes and a quiet machine: failures, overload, upgrades of a real day
	@$(BIN)/pytest -m chaos

lint: setup ## Check form and types of the code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

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
	@touch $@
