# `make demo` and `make test` work on a fresh machine: Python 3.11+, make, a package registry.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The client copies the folder of a marketplace whole when it installs a plugin from it, and leaves
# out only links that lead outside. So the environment lies elsewhere, and here is a link to it.
PLACES ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/codebudget
export MYPY_CACHE_DIR ?= $(VENV)/.mypy_cache
export RUFF_CACHE_DIR ?= $(VENV)/.ruff_cache

.PHONY: demo test torture lint bench fuzz audit clean

demo: $(READY)
	@$(BIN)/python -m tests.demo

test: $(READY) lint
	$(BIN)/python -m pytest

torture: $(READY)
	$(BIN)/python -m tests.faults.torture $(TORTURE)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin --cache-dir $(MYPY_CACHE_DIR)/darwin budget
	$(BIN)/mypy --platform win32 --cache-dir $(MYPY_CACHE_DIR)/win32 budget

bench: $(READY)
	$(BIN)/python -m bench $(BENCH)

SECONDS ?= 60
fuzz: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# Needs PyPI itself: mirrors have no advisories.
audit: $(READY)
	@$(PYTHON) -m venv $(VENV)/audit && $(VENV)/audit/bin/python -m pip install --quiet pip-audit
	$(BIN)/python -m pip freeze --exclude-editable > $(VENV)/audit/installed.txt
	$(VENV)/audit/bin/pip-audit --strict --disable-pip --no-deps -r $(VENV)/audit/installed.txt

# In CI, or where the other place cannot be made, it is a folder here.
$(VENV):
	@place="$(PLACES)/venv-$$(pwd | cksum | cut -d ' ' -f 1)"; \
	  if [ -z "$$CI" ] && mkdir -p "$$place" 2>/dev/null; then ln -s "$$place" $@; else mkdir $@; fi

$(VENV)/pyvenv.cfg: | $(VENV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "codebudget needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Preparing $(VENV) (once) ..."
	@$(PYTHON) -m venv "$$(cd $(VENV) && pwd -P)" # it takes no link

$(READY): pyproject.toml budget/__init__.py | $(VENV)/pyvenv.cfg
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

clean:
	[ ! -L $(VENV) ] || rm -rf "$$(readlink $(VENV))"
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
