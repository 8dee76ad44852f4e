# The two commands of the README: make demo, make test. Each sets up its own .venv from the lock file.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# compiled modules halve the start-up of every run
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench peers nn lock clean

demo: $(STAMP)
	rm -rf emtomo-demo
	$(BIN)/emtomo demo --project emtomo-demo

test: lint
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

# other programs' Python packages, which tests of file formats compare with; without them these tests are skipped
peers: .peers/readers/.installed .peers/scipion/.installed

.peers/readers/.installed: tests/peers-readers.txt
	$(PYTHON) -m venv .peers/readers
	.peers/readers/bin/pip install --disable-pip-version-check --quiet -r tests/peers-readers.txt
	touch $@

.peers/scipion/.installed:
	$(PYTHON) -m venv .peers/scipion
	.peers/scipion/bin/pip install --disable-pip-version-check --quiet scipion-em-tomo==3.12.4
	touch $@

# PyTorch for processors alone, which neural picking needs; without it its tests are skipped
nn: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --retries 0 torch safetensors --extra-index-url https://download.pytorch.org/whl/cpu

$(STAMP): requirements.lock setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	touch $@

# needs uv (pip install uv); the lock holds for Python 3.11 and 3.12
lock:
	uv pip compile setup.py --extra dev --universal --python-version 3.11 --generate-hashes --no-header -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache emtomo-demo
