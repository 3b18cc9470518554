# make audit TARGET=mnist1d_mlp    audit one release, from nothing: sets up, runs, prints the verdict
# make test                        run the tests
# make help                        everything else

TARGET ?=
FITS := import ensurepip, sys; sys.exit(not (3, 11, 4) <= sys.version_info < (3, 14))
# The first on the path that fits: a python3.11 that is too old does not hide the python3.12 beside it.
PYTHON ?= $(shell IFS=:; for name in python3.11 python3.12 python3.13 python3 python; do for folder in $$PATH; do \
  [ -x "$$folder/$$name" ] && "$$folder/$$name" -c '$(FITS)' 2>/dev/null && echo "$$folder/$$name" && exit; done; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS ?=
READER ?=
SECONDS ?= 600
ALL_CORES := --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: help setup lock audit audit-all test coverage check docs picture format calibrate boundaries bench fuzz harness dag clean

help:
	@echo "make audit TARGET=NAME   audit one release and print the verdict"
	@echo "make audit-all           audit every release of conf/target"
	@echo "make setup               only set up $(VENV)"
	@echo "make lock                write requirements.lock anew, after a change of pyproject.toml or constraints.txt"
	@echo "make test                run the tests; TESTS=tests/unit/test_x.py runs some"
	@echo "make coverage            run them and print coverage by room"
	@echo "make check               formatting, lint, types, import rules"
	@echo "make docs                build the docs site in site/, with the catalogue in site/audits/"
	@echo "make picture             draw the docs' pictures of the catalogue and of a report"
	@echo "make calibrate           measure the verdict's error rates (long)"
	@echo "make boundaries          compare the sequential test's critical values with simulated audits"
	@echo "make bench               audit time over that of the bare trainings; K trainings together over one (long)"
	@echo "make fuzz                list the readers of foreign bytes; READER=yaml SECONDS=600 fuzzes one"
	@echo "make harness             evaluate released weights under lm-evaluation-harness (about 2 GB)"
	@echo "make dag                 print the pipeline"

setup: $(READY)

# uv installs about ten times faster than pip; where it fails, pip does the same. Both take what pip is set up to use. Each file is
# compared with its sha256 in requirements.lock, but for PyTorch's: it has other builds for CPU and GPU.
$(READY): pyproject.toml constraints.txt requirements.lock
	@python="$(PYTHON)"; "$$python" -c '$(FITS)' 2>/dev/null || { echo "error: expected Python 3.11.4 or later, 3.12 or 3.13, with its module venv; \
	found $${python:-none that fits on the path}; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 2; }; \
	echo "setting up $(VENV) with $$("$$python" --version)"; "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@setting() { $(BIN)/python -m pip config list | sed -n "s/^[^=]*\.$$1='\(.*\)'$$/\1/p" | tail -n 1; }; \
	links=$$(setting find-links); [ -d "$$links" ] || links=; index=$$(setting index-url); \
	by_uv() { $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode $${index:+--default-index "$$index"} \
	  $${links:+--find-links "$$links"} "$$@"; }; \
	install() { by_uv "$$@" || $(BIN)/python -m pip install --quiet "$$@"; }; \
	install --constraint constraints.txt torch \
	&& install --no-deps --require-hashes --requirement requirements.lock \
	&& install --no-deps --editable .
	@touch $(READY)

# What PyTorch brings for GPUs is left to its own build.
lock:
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 --extra dev \
	  --constraint constraints.txt pyproject.toml \
	| awk '/^[^ ]/ { skip = /^(torch|triton|nvidia-|cuda-)/ } !skip' > requirements.lock

audit: $(READY)
	@[ -n "$(TARGET)" ] || { echo "error: name a target: make audit TARGET=mnist1d_mlp (see conf/index.yaml)"; exit 2; }
	@$(BIN)/openassay audit $(TARGET)

audit-all: $(READY)
	@$(BIN)/openassay audit --all

test: $(READY)
	@$(BIN)/python -m pytest $(ALL_CORES) $(TESTS)

# Processes that tests start are measured too, but for published code's own: it runs in an environment without coverage.
coverage: $(READY)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(ALL_CORES) $(TESTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/python tests/coverage_by_room.py

check: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/openassay check

docs: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

picture: $(READY)
	@$(BIN)/python docs/picture.py

format: $(READY)
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

calibrate: $(READY)
	@$(BIN)/python tests/calibration/calibrate.py
	@$(BIN)/python tests/calibration/replay.py --out calibration/replay.json
	@$(BIN)/python tests/calibration/likeness.py --out calibration/likeness.json
	@$(BIN)/python tests/calibration/renamed.py

boundaries: $(READY)
	@$(BIN)/python tests/calibration/boundaries.py

bench: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/bench/overhead.py
	@$(BIN)/python tests/bench/trainer.py
	@$(BIN)/python tests/bench/replay.py
	@$(BIN)/python tests/bench/parallel.py
	@$(BIN)/python tests/bench/catalogue.py
	@$(BIN)/python tests/bench/downloads.py

fuzz: $(READY)
	@[ -z "$(READER)" ] || $(BIN)/python -c "import atheris" 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	@$(BIN)/python tests/fuzz/run.py $(READER) --seconds $(SECONDS)

# Weights under lm-evaluation-harness, which is installed into an environment of its own from the package index.
harness: $(READY)
	@OPENASSAY_HARNESS=1 $(BIN)/python -m pytest -q tests/pipeline/test_harness.py

dag: $(READY)
	@$(BIN)/dvc dag

clean:
	rm -rf $(VENV) build dist site src/*.egg-info
