# The two commands of the README: make demo, make test. Each sets up its own .venv from the lock file.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# compiled modules halve the start-up of every run
unexport PYTHONDONTWRITEBYTECODE

# tests run side by side, each with one thread for BLAS; those of windows, Dask and SLURM mostly wait, so that two cores
# have work for four
WORKERS ?= 4
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder --durations 20

.PHONY: demo install test lint warm fuzz bench peers nn core docs lock clean python

demo: $(STAMP)
	rm -rf emtomo-demo
	$(BIN)/emtomo demo --project emtomo-demo

test: $(STAMP)
	@$(MAKE) --no-print-directory -j2 lint warm
	$(PYTEST)

# compiles the numba kernels that most tests use, once, so that workers load them
warm: $(STAMP)
	$(BIN)/python -m tests.warm_up

# many damaged copies of every file format, other ones each time
fuzz: $(STAMP)
	EMTOMO_DAMAGED_COPIES=2000 EMTOMO_TEST_CPU=120 $(BIN)/python -m pytest -n $(WORKERS) tests/io/test_bad_files.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

# other programs' Python packages, which tests of file formats compare with; without them these tests are skipped
peers: .peers/readers/.installed .peers/scipion/.installed

.peers/readers/.installed: tests/peers-readers.txt | python
	$(PYTHON) -m venv .peers/readers
	.peers/readers/bin/pip install --disable-pip-version-check --quiet -r tests/peers-readers.txt
	touch $@

.peers/scipion/.installed: | python
	$(PYTHON) -m venv .peers/scipion
	.peers/scipion/bin/pip install --disable-pip-version-check --quiet scipion-em-tomo==3.12.4
	touch $@

# PyTorch for processors alone, which neural picking needs; without it its tests are skipped
nn: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --retries 0 torch safetensors --extra-index-url https://download.pytorch.org/whl/cpu

# compute and io without the engine, in an environment of their own: the newest Python that is here, the newest numpy;
# emtomo itself is found by its path: its own requirements are those of the engine
CANDIDATES = $(foreach v,3.14 3.13 3.12 3.11,python$(v) $(wildcard $(HOME)/.pyenv/versions/$(v).*/bin/python$(v)))
NEWEST ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c "import sys, venv; print(sys.executable)" 2>/dev/null)))
CORE_TESTS := tests/compute tests/io tests/synthetic tests/test_options.py tests/test_public_api.py tests/test_bad_arguments.py
core: .venv-core/.installed
	.venv-core/bin/python -m pytest -n $(WORKERS) -m "not workflow and not peer" $(CORE_TESTS)

.venv-core/.installed: pyproject.toml
	$(NEWEST) -m venv .venv-core
	.venv-core/bin/python -m pip install --disable-pip-version-check --quiet --upgrade "pip>=25.1"
	.venv-core/bin/python -m pip install --disable-pip-version-check --quiet --group core
	.venv-core/bin/python -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'emtomo.pth').write_text('$(CURDIR)\n')"
	.venv-core/bin/python -c "import numpy, numba, sys; print('Python', sys.version.split()[0], 'numpy', numpy.__version__, 'numba', numba.__version__)"
	touch $@

# the documentation as a site of static pages, in site/; links are checked, and that no page loads anything remote
docs: $(STAMP) .venv-docs/.installed
	$(BIN)/python docs/make_site.py build/docs
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict --config-file build/docs/mkdocs.yml
	$(BIN)/python docs/make_site.py --check site
	@echo "site/index.html; with search: python -m http.server --directory site"

.venv-docs/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --disable-pip-version-check --quiet --upgrade "pip>=25.1"
	.venv-docs/bin/python -m pip install --disable-pip-version-check --quiet --group docs
	touch $@

install: $(STAMP)

# what the windows and the environment need of Debian: said before minutes of installing
python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: apt-get install $(PYTHON)" >&2; exit 1; }
	@$(PYTHON) -c "import venv, ensurepip" 2>/dev/null || \
	  { echo "$(PYTHON) has no venv: apt-get install $(PYTHON)-venv" >&2; exit 1; }
	@$(PYTHON) -c "import tkinter" 2>/dev/null || \
	  { echo "$(PYTHON) has no tkinter, which the windows need: apt-get install python3-tk" >&2; exit 1; }

$(STAMP): requirements.lock setup.py pyproject.toml | python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	touch $@

# needs uv (pip install uv); the lock holds for Python 3.11 and 3.12
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header -o requirements.lock

clean:
	rm -rf $(VENV) .venv-core .venv-docs site build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache emtomo-demo
