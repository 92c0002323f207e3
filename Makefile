# Two commands to set up and run: make quick, make test.
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin

.PHONY: setup quick test check

setup: $(VENV)/.installed

# torch first and alone: some machines keep a small CPU build of exactly this release
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

quick: setup
	$(BIN)/python -m vbot_train -m search=quick $(ARGS)

test: setup
	$(BIN)/python -m pytest -n auto --maxprocesses 4 -m 'not slow and not browser and not distributed'

# mypy with a cache for each platform: that of another one is of no use
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy --platform linux --cache-dir .mypy_cache/linux
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32
