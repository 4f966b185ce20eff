# The commands of the README. All work in .venv, which is made on a bare machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: install install-dev demo test lint clean

.venv/made:
	$(PYTHON) -m venv .venv
	@touch $@

.venv/base: .venv/made pyproject.toml
	$(PIP) --constraint constraints.txt --editable .
	@touch $@

.venv/dev: .venv/made pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@ .venv/base

install: .venv/base

install-dev: .venv/dev

demo: install
	$(BIN)/wellfit run football --quick

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest --numprocesses auto

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis runs
