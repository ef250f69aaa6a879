# `make` lists the targets. Everything runs in .venv (bench: .venv-bench), which is made on first use.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
READY := .venv/.installed
BENCH := .venv-bench
BENCH_READY := $(BENCH)/.installed
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || \
	{ echo "trainctl needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }

.DEFAULT_GOAL := help
.NOTPARALLEL:                       # so that `make check` ends with pytest's summary under -j, too
.PHONY: help train test coverage check lint types bench torture mutate docs messages clean

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

bench: $(BENCH_READY)  ## Measure speed beside hand-written PyTorch, Lightning and Keras; options in ARGS (--help)
	@$(BENCH)/bin/python -m benchmarks.run $(ARGS)

torture: $(READY)  ## Kill trainings 500 times at random moments and compare their ends (--kills, --seed in ARGS)
	@PYTHONPATH=. OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture $(ARGS)

mutate: $(READY)  ## Break the code line by line: the tests must notice (a part of a file's name in ARGS)
	@$(BIN)/python tests/mutate.py $(ARGS)

docs: $(READY)  ## Write docs/catalogue.md from docstrings and YAML
	@$(BIN)/python docs/make_catalogue.py

messages: $(READY)  ## Write tests/messages.txt, the catalogue of all messages to the user
	@$(BIN)/python -m tests.messages --write

clean:  ## Remove what can be made again, but .venv* and runs/
	@rm -rf build dist *.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv*/*' -prune -exec rm -rf {} +

# Stamps are written last, so that an install that broke off is done again.
$(READY): pyproject.toml
	@$(CHECK_PYTHON)
	@echo "Installing trainctl and its tools into .venv (PyTorch is about 5 GB; this takes minutes once)" >&2
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

$(BENCH_READY): pyproject.toml benchmarks/requirements.txt
	@$(CHECK_PYTHON)
	@echo "Installing trainctl and its peers into $(BENCH) (about 6 GB; this takes minutes once)" >&2
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install -q --disable-pip-version-check -r benchmarks/requirements.txt -e .
	@touch $@
