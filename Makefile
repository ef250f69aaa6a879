# `make` lists the targets. Everything runs in .venv, which is made on first use.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
READY := .venv/.installed

.DEFAULT_GOAL := help
.NOTPARALLEL:                       # so that `make check` ends with pytest's summary under -j, too
.PHONY: help train test coverage check lint types bench mutate docs clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "  make %-8s %s\n", $$1, $$2 }'
	@echo
	@echo "  make train ARGS='optimizer=sgd optimizer.lr=0.1'     PYTHON=python3.12 chooses the interpreter of .venv"

train: $(READY)  ## Train; overrides in ARGS
	@$(BIN)/trainctl $(ARGS)

test: $(READY)  ## Run the tests and doctests; pytest's options in ARGS
	@$(BIN)/python -m pytest -q -n auto $(ARGS)

coverage: $(READY)  ## Run them more slowly, with what they cover
	@$(BIN)/python -m pytest -q -n auto --cov --cov-report=term $(ARGS)

check: lint types test  ## All that CI runs: lint, types, test

lint: $(READY)  ## ruff, yamllint, codespell, and the layers of the architecture
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "not formatted: ruff format ."; exit 1; }
	@$(BIN)/yamllint --strict .
	@$(BIN)/codespell .
	@$(BIN)/lint-imports > .venv/lint-imports.log 2>&1 || { cat .venv/lint-imports.log; exit 1; }
	@echo "lint: fine"

types: $(READY)  ## mypy, strict
	@$(BIN)/mypy

bench: $(READY)  ## Measure speed; options in ARGS
	@$(BIN)/python benchmarks/run.py $(ARGS)

mutate: $(READY)  ## Break the code line by line: the tests must notice (a part of a file's name in ARGS)
	@$(BIN)/python tests/mutate.py $(ARGS)

docs: $(READY)  ## Write docs/catalogue.md from docstrings and YAML
	@$(BIN)/python docs/make_catalogue.py

clean:  ## Remove what can be made again, but .venv and runs/
	@rm -rf build dist *.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# The stamp is written last, so that an install that broke off is done again.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || \
		{ echo "trainctl needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing trainctl and its tools into .venv (PyTorch is about 5 GB; this takes minutes once)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@
