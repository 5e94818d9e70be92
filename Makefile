# `make demo` and `make test` work on a fresh machine: Python 3.11+, make, a package registry.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench fuzz audit clean

demo: $(READY)
	@$(BIN)/python -m tests.demo

test: $(READY) lint
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin budget
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 budget

bench: $(READY)
	$(BIN)/python -m bench.hook_time
	$(BIN)/python -m bench.import_time

SECONDS ?= 60
fuzz: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# Needs PyPI itself: mirrors have no advisories.
audit: $(READY)
	@$(PYTHON) -m venv .venv-audit && .venv-audit/bin/python -m pip install --quiet pip-audit
	$(BIN)/python -m pip freeze --exclude-editable > .venv-audit/installed.txt
	.venv-audit/bin/pip-audit --strict --disable-pip --no-deps -r .venv-audit/installed.txt

$(READY): pyproject.toml budget/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "codebudget needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Preparing $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-audit .mypy_cache .ruff_cache .pytest_cache
