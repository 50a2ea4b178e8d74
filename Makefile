# make setup | demo | test | lint | faults | soak | bench: each does the set-up first. Needs Python 3.11 to 3.13, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test lint faults soak bench docs clean

setup: $(READY)

demo: $(READY)  ## about 20 seconds of the built-in source: its stream, a summary and demo.jpg
	$(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

faults: $(READY)  ## about 10 minutes: cameras that freeze, stall, vanish and come back, against a real RTSP server
	$(BIN)/python -m pytest -m faults tests/faults

soak: $(READY)  ## about half an hour: a camera that is lost every 5 s, 200 openings, a crowd for 100,000 frames; does anything grow?
	$(BIN)/python -m pytest -m soak tests/faults tests/evaluate

bench: $(READY)  ## about 20 minutes: what each stage costs, and the pose stage's ratios of docs/benchmarks.md
	$(BIN)/python -m pytest tests/bench/stages.py --benchmark-enable --benchmark-columns=median,iqr,rounds
	$(BIN)/python -m tests.bench.pose

docs: $(READY)  ## write what is generated from the code
	$(BIN)/python -m realtime.wire docs
	$(BIN)/python -m realtime.config > configs/default.yaml

clean:
	rm -rf $(VENV)

# What pip can't bring is named, all of it at once, before anything is downloaded.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); needs Python 3.11 to 3.13: make PYTHON=python3.12 ..." >&2; exit 1; }
	@missing=; \
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	if [ "$$(uname -s)" = Linux ]; then \
	  $(PYTHON) -c 'import ctypes; ctypes.CDLL("libGL.so.1")' 2>/dev/null || missing="$$missing libgl1"; \
	  $(PYTHON) -c 'import ctypes; ctypes.CDLL("libgthread-2.0.so.0")' 2>/dev/null || missing="$$missing libglib2.0-0"; \
	fi; \
	if [ -n "$$missing" ]; then echo "the system lacks:$$missing; install with: apt-get install$$missing" >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[run,offline,dev]'
	touch $(READY)
