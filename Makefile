# `make` lists the targets. Everything runs in .venv (bench: .venv-bench), which is made on first use from a lock: the
# versions in requirements/lock.txt, which `make upgrade` renews. Only newest and oldest resolve pyproject.toml again.
PYTHON ?= python3
ARGS ?=
FACTOR ?= 20
BIN := .venv/bin
READY := .venv/.installed
BENCH := .venv-bench
BENCH_READY := $(BENCH)/.installed
UPGRADE := .venv-upgrade
UPGRADE_READY := $(UPGRADE)/.installed
LOCK := requirements/lock.txt
BENCH_LOCK := benchmarks/lock.txt
# Each file in one process, so that what its tests share is made once; see tests/conftest.py for how many processes.
PYTEST := python -m pytest -q -n auto --dist loadfile
# Or each of the many processes that tests start would compile trainctl anew.
unexport PYTHONDONTWRITEBYTECODE

CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || \
	{ echo "trainctl needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }

# One file for every Python from 3.11 on and every system. uv reads the public index and none of pip's configuration,
# so that no version gets in that only this machine can install.
RESOLVE = $(UPGRADE)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate \
	--custom-compile-command 'make upgrade'

# $(call install,VENV,LOCKS,WHAT): without build isolation, because what pip fetches to build with is held by no lock.
define install
@$(1)/bin/python -m pip install -q --disable-pip-version-check $(addprefix -c ,$(2)) setuptools wheel
@$(1)/bin/python -m pip install -q --disable-pip-version-check $(addprefix -c ,$(2)) --no-build-isolation $(3)
endef

# $(call test_with,VENV): say what was installed, then run the tests.
define test_with
@echo "Installed in $(1), with $$($(1)/bin/python --version):"
@$(1)/bin/python -m pip freeze -q --all --exclude-editable | paste -s -d ' ' - | fold -s -w 116 | sed 's/^/  /'
@$(1)/bin/$(PYTEST) $(ARGS)
endef

.DEFAULT_GOAL := help
.NOTPARALLEL:                       # so that `make check` ends with pytest's summary under -j, too
.PHONY: help train test all coverage check lint types bench torture soak mutate docs messages upgrade newest oldest clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "  make %-8s %s\n", $$1, $$2 }'
	@echo
	@echo "  make train ARGS='optimizer=sgd optimizer.lr=0.1'     PYTHON=python3.12 chooses the interpreter of .venv"

train: $(READY)  ## Train; overrides in ARGS
	@$(BIN)/trainctl $(ARGS)

# The quick ones: what ARGS names is run, slow or not.
test: $(READY)  ## Run the quick tests and doctests, in minutes; pytest's options in ARGS
	@$(BIN)/$(PYTEST) $(or $(ARGS),-m 'not slow')

all: $(READY)  ## Run all tests; pytest's options in ARGS
	@$(BIN)/$(PYTEST) $(ARGS)

coverage: $(READY)  ## Run them more slowly, with what they cover
	@$(BIN)/$(PYTEST) --cov --cov-report=term $(ARGS)

check: lint types all  ## What CI runs: lint, types, all tests

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

# New cases each time: a failure prints TRAINCTL_SEED or hypothesis' blob, which repeat it.
soak: $(READY)  ## Let every generator of inputs try 20 times as many cases (FACTOR=100; pytest's options in ARGS)
	@TRAINCTL_SOAK=$(FACTOR) $(BIN)/$(PYTEST) -m soak $(ARGS) $(if $(findstring tests/,$(ARGS)),,$$(grep -rl --include='test_*.py' mark.soak tests | sort))

mutate: $(READY)  ## Break the code line by line: the tests must notice (a part of a file's name in ARGS)
	@$(BIN)/python tests/mutate.py $(ARGS)

docs: $(READY)  ## Write the generated pages of docs/, and build the site into docs/_build
	@$(BIN)/python docs/make_catalogue.py
	@$(BIN)/python docs/make_reference.py
	@$(BIN)/sphinx-build --fresh-env --write-all --quiet --fail-on-warning --keep-going --builder html docs docs/_build
	@echo "Open docs/_build/index.html"

upgrade: $(UPGRADE_READY)  ## Renew the locks; ARGS='--upgrade-package ruff' renews one package, or adds a new one
	@$(RESOLVE) $(or $(ARGS),--upgrade) --all-extras pyproject.toml -o $(LOCK)
	@$(RESOLVE) $(or $(ARGS),--upgrade) -c $(LOCK) pyproject.toml benchmarks/requirements.txt -o $(BENCH_LOCK)
	@echo "Renewed $(LOCK) and $(BENCH_LOCK); now: git diff, make check"

newest: $(UPGRADE_READY)  ## Run the tests with the newest versions that pyproject.toml allows, in .venv-newest
	@$(CHECK_PYTHON)
	@echo "Installing the newest versions into .venv-newest (about 5 GB; this takes minutes)" >&2
	@$(PYTHON) -m venv --clear .venv-newest
	@$(RESOLVE) --all-extras pyproject.toml -o .venv-newest/lock.txt > /dev/null
	@diff $(LOCK) .venv-newest/lock.txt && echo "Nothing is newer than $(LOCK)." || true
	$(call install,.venv-newest,.venv-newest/lock.txt,-e '.[dev]')
	$(call test_with,.venv-newest)

# On the oldest Python: the lowest versions have no wheels for newer ones.
oldest: PYTHON = python3.11
oldest: $(UPGRADE_READY)  ## Run the tests with the lowest versions that pyproject.toml allows, in .venv-oldest
	@$(CHECK_PYTHON)
	@echo "Installing the lowest versions into .venv-oldest (about 5 GB; this takes minutes)" >&2
	@$(PYTHON) -m venv --clear .venv-oldest
	@$(RESOLVE) --resolution lowest-direct --all-extras pyproject.toml -o .venv-oldest/lock.txt > /dev/null
	$(call install,.venv-oldest,.venv-oldest/lock.txt,-e '.[dev]')
	$(call test_with,.venv-oldest)

messages: $(READY)  ## Write tests/messages.txt, the catalogue of all messages to the user
	@$(BIN)/python -m tests.messages --write

clean:  ## Remove what can be made again, but .venv, .venv-bench and runs/
	@rm -rf $(UPGRADE) .venv-newest .venv-oldest
	@rm -rf build dist docs/_build *.egg-info .coverage .coverage.* .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv*/*' -prune -exec rm -rf {} +

# Stamps are written last, so that an install that broke off is done again.
$(READY): pyproject.toml $(LOCK)
	@$(CHECK_PYTHON)
	@echo "Installing trainctl and its tools into .venv (PyTorch is about 5 GB; this takes minutes once)" >&2
	@$(PYTHON) -m venv .venv
	$(call install,.venv,$(LOCK),-e '.[dev]')
	@touch $@

$(BENCH_READY): pyproject.toml benchmarks/requirements.txt $(LOCK) $(BENCH_LOCK)
	@$(CHECK_PYTHON)
	@echo "Installing trainctl and its peers into $(BENCH) (about 6 GB; this takes minutes once)" >&2
	@$(PYTHON) -m venv $(BENCH)
	$(call install,$(BENCH),$(LOCK) $(BENCH_LOCK),-r benchmarks/requirements.txt -e .)
	@touch $@

$(UPGRADE_READY):
	@$(CHECK_PYTHON)
	@$(PYTHON) -m venv $(UPGRADE)
	@$(UPGRADE)/bin/python -m pip install -q --disable-pip-version-check uv
	@touch $@
