# Everything a developer does. Each target sets up what it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup test lint unit pages lowest newest site wheel test-cuda nightly fuzz demo bench format clean

setup: .venv/.stamp

.venv/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "artpack needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
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

# In Chromium, skipped where there is none; build/pages has pictures of them.
pages: setup
	mkdir -p build/pages
	PAGES_FOLDER=build/pages $(BIN)/python -m pytest -m pages tests/pages

# What touches other packages most, with the oldest and with the newest that pyproject.toml allows.
lowest: RESOLUTION := lowest-direct
lowest: WARNINGS := -W default  # those of old packages are old
newest: RESOLUTION := highest
lowest newest:
	$(PYTHON) -m venv --clear build/$@
	build/$@/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/$@/bin/uv pip install --quiet --python build/$@/bin/python --resolution $(RESOLUTION) -e '.[dev]'
	build/$@/bin/python -m pytest -n 2 --dist worksteal $(WARNINGS) \
		tests/checkpoint tests/artifact tests/quantize tests/api/test_compress.py tests/test_transformers.py tests/cli/test_commands.py

# Into build/site; a link that leads nowhere is an error.
site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

# Into dist, and tried in an environment that does not see this folder.
wheel: setup
	rm -rf dist build/lib build/bdist.* && mkdir -p build
	$(BIN)/python -m build --no-isolation > build/wheel.log 2>&1 || { cat build/wheel.log; false; }
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m check_wheel_contents dist/*.whl
	$(BIN)/python tests/wheel.py dist/*.whl

# Tests and one table of what a GPU does; exit code 77 where there is none.
test-cuda: setup
	$(BIN)/python -m benchmarks.cuda

# What is too slow for every change: exhaustive tests, and full golden cases where they are.
GOLDEN ?= ../shared/golden

nightly: test pages
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow
	$(BIN)/python tests/notebooks.py
	$(BIN)/python -m tests.fuzz --seconds 600 --jobs 2
	test ! -d $(GOLDEN) || $(BIN)/python tests/golden.py $(GOLDEN)

# Damaged files for every reader; a minute of it is among the unit tests.
SECONDS_OF_FUZZ ?= 14400

fuzz: setup
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS_OF_FUZZ) --jobs $$(nproc)

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" demo/run.sh

bench: setup
	$(BIN)/python -m benchmarks.bench_coding --csv benchmarks/results

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info demo-out
