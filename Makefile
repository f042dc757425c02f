# Everything runs in .venv, which is made on first use from the versions in requirements.lock.
# Each step of making it leaves a stamp when it is complete, so an interrupted run is simply repeated.

PYTHON = $(shell for each in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$each" && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCKED := install --quiet --quiet --constraint requirements.lock
MODELS := smollm2-135m qwen2.5-coder-0.5b qwen2.5-coder-1.5b
PYTEST := $(BIN)/pytest -n 2 --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test fast lint types format lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.run ## Fetch the default model and watch it answer, with and without speculation
	@$(BIN)/foretell demo

test: .venv/.dev ## Run all tests; the models that they use are fetched first
	$(BIN)/foretell pull $(MODELS)
	$(PYTEST)

fast: .venv/.dev ## Run the tests that need no model and little time
	$(PYTEST) -m "not model and not slow"

lint: .venv/.dev ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.dev ## Check types
	$(BIN)/mypy

format: .venv/.dev ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: .venv/.run ## Renew requirements.lock with the newest versions that the ranges allow
	rm -rf .venv/lock && $(BIN)/python -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet --upgrade pip hatchling editables
	.venv/lock/bin/python -m pip install --quiet --no-build-isolation --editable . --group dev
	(sed -n '/^#/p' requirements.lock && .venv/lock/bin/python -m pip freeze --all --exclude-editable --exclude setuptools) > .venv/lock/new
	mv .venv/lock/new requirements.lock && rm -rf .venv/lock

clean: ## Delete the environment and what the tools left
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv without a working pip is one whose making was interrupted.
.venv/.made:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or later is needed; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making .venv with $(PYTHON)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@touch $@

# The tools that build the package come from the lock too, hence no build isolation.
.venv/.run: .venv/.made pyproject.toml requirements.lock
	@echo "Installing foretell into .venv"
	@$(PIP) $(LOCKED) --upgrade pip
	@$(PIP) $(LOCKED) hatchling editables
	@$(PIP) $(LOCKED) --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.run
	@echo "Installing the development tools into .venv"
	@$(PIP) $(LOCKED) --group dev
	@touch $@
