# The two commands of the README: `make quickstart` and `make test`. Each does all its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: quickstart test slow lint types check wheel starter-weights clean

quickstart: $(STAMP)
	$(BIN)/domainclip pretrain --domain pathology

test: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --dist loadscope

slow: $(STAMP)
	$(BIN)/python -m pytest -q -m "slow and not gpu and not peers"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

check: test slow lint types

wheel: $(STAMP)
	$(BIN)/python -m build --wheel --outdir dist

# Trains the three starter models at their default length and puts them where the wheel takes them from.
starter-weights: $(STAMP)
	$(BIN)/python -m domainclip.starter.ship

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "domainclip needs CPython 3.11 or newer; found: $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	DS_BUILD_OPS=0 $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf build dist runs starter-sets .pytest_cache .mypy_cache .ruff_cache
