# Everything a developer does. Each target sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup test lint unit nightly demo bench format clean

setup: .venv/.stamp

.venv/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "artpack needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

test: lint unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pydoclint artpack cli
	$(BIN)/lint-imports

unit: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term

# What is too slow for every change: exhaustive tests, and full golden cases where they are.
GOLDEN ?= ../shared/golden

nightly: test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow
	test ! -d $(GOLDEN) || $(BIN)/python tests/golden.py $(GOLDEN)

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" demo/run.sh

bench: setup
	$(BIN)/python -m benchmarks.bench_coding --csv benchmarks/results

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build *.egg-info demo-out
