# make setup | demo | test | lint | browser | convert | space | light | faults | machines | oddities | soak | fuzz | bench |
# docs | documents | proof: each creates .venv first if it is missing, or installs into it again if pyproject.toml has changed.
# Needs Python 3.11 to 3.13, make and a package index. make gpu | gpu-kit | gpu-rehearsal use $(PYTHON) as it is; make gpu
# needs no network.
PYTHON ?= python3
DEVICE ?= cuda:0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SPACE := .venv-space
LIGHT := .venv-light

.PHONY: setup demo test lint browser convert space light faults machines oddities soak fuzz bench documents proof docs gpu gpu-kit gpu-rehearsal clean

setup: $(READY)

demo: $(READY)  ## track the built-in source and serve its live page for 20 s; make demo KEEP=1: until Ctrl-C
	@$(BIN)/python examples/demo.py $(if $(KEEP),--keep)

# The tests start hundreds of processes, each of which would compile the package where Python may write no bytecode. pytest
# may write it, because rewriting the assertions of all tests takes half of the time that collecting them does.
test: $(READY)
	@$(BIN)/python -m compileall -q realtime
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

browser: $(READY)  ## about 10 minutes: the live page in a real Chromium, with failing cameras, slow viewers and attacks
	@command -v chromium >/dev/null || { echo "make browser needs Chromium: apt-get install chromium" >&2; exit 1; }
	$(BIN)/python -m pytest -m "" tests/browser

convert: $(READY)  ## a minute, downloads 170 MB: every converter, also that for Rerun, read back by its own library
	$(BIN)/python -m pip install --quiet -e '.[convert]'
	$(BIN)/python -m pytest -m "" tests/recordings/convert tests/recordings/test_document.py

space: $(READY) $(SPACE)/.ready  ## about 4 minutes: the page of examples/space in Chromium, and the notebook in a kernel
	@command -v chromium >/dev/null || { echo "make space needs Chromium: apt-get install chromium" >&2; exit 1; }
	$(BIN)/python -m pytest -m space tests/space

light: $(READY) $(LIGHT)/.ready  ## under a minute: exported networks in an environment without torch
	$(BIN)/python -m pytest -m light tests/light

faults: $(READY)  ## about 25 minutes: the fault cases of docs/reliability.md, with a real RTSP server as the camera
	$(BIN)/python -m pytest -m faults tests/faults

machines: $(READY)  ## about 10 minutes, as root: the program on the unusual machines that docs/reliability.md lists
	@[ "$$(id -u)" = 0 ] || { echo "make machines needs root, because it makes mount namespaces: sudo make machines" >&2; exit 1; }
	$(BIN)/python -m pytest -m machines tests/machines

oddities: $(READY)  ## about 2 minutes: thousands of odd video files; repeat one with python -m tests.oddities NAME
	$(BIN)/python -m pytest -m oddities tests/oddities -n 2 --dist load

soak: $(READY)  ## about half an hour: check that nothing grows over 320 reconnects and 100,000 frames of a crowd
	$(BIN)/python -m pytest -m soak tests/faults tests/evaluate

fuzz: $(READY)  ## about 10 minutes: 5,000 mutated camera inputs; repeat one with python -m tests.fuzz SEED
	$(BIN)/python -m pytest -m fuzz tests/faults

bench: $(READY)  ## about 20 minutes: the time of each stage, and the pose stage's ratios of docs/benchmarks.md
	$(BIN)/python -m pytest tests/bench/stages.py --benchmark-enable --benchmark-columns=median,iqr,rounds
	$(BIN)/python -m tests.bench.pose

gpu:  ## under 8 minutes: prove and measure the CUDA path (docs/gpu.md); make gpu DEVICE=cpu: the short form, on a CPU
	$(PYTHON) -m tests.bench.gpu --device $(DEVICE) $(if $(OUT),--out $(OUT))

gpu-kit:  ## fill gpu-kit/ with the wheels that make gpu needs on a machine without a network
	$(PYTHON) -m tests.bench.gpu.kit

gpu-rehearsal:  ## about 10 minutes: make gpu DEVICE=cpu in a clone, without a network, with no other packages than there
	$(PYTHON) -m tests.bench.gpu.rehearse $(if $(ENVIRONMENT),--environment $(ENVIRONMENT))

documents: $(READY)  ## about 15 minutes: run the commands of the documents, on small files and with stand-ins for cameras
	$(BIN)/python -m pip install --quiet -e '.[eval]'
	$(BIN)/python -m pytest -m documents tests/documents

proof: $(READY)  ## about 5 minutes: a tiny ViTPose+ file learns whole bodies and animals, and the program finds them
	$(BIN)/python -m pytest -m proof tests/proof -n 0 -s

docs: $(READY)  ## write the generated files: the tables of docs/wire.md, docs/wire.schema.json, configs/default.yaml
	$(BIN)/python -m realtime.wire.document
	$(BIN)/python -m realtime.config > configs/default.yaml

clean:
	rm -rf $(VENV) $(SPACE) $(LIGHT)

# Before any download, check the Python version and name all missing packages that pip can't install.
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
	$(BIN)/python -m pip install --quiet -e '.[run,offline,web,record,dev]'
	touch $(READY)

# Gradio needs an older Pillow than the tests have, and a visitor of the page needs none of their packages.
$(SPACE)/.ready: pyproject.toml
	$(PYTHON) -m venv $(SPACE)
	$(SPACE)/bin/python -m pip install --quiet -e '.[run,offline,space]'
	touch $(SPACE)/.ready

$(LIGHT)/.ready: pyproject.toml
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/python -m pip install --quiet -e '.[light]'
	touch $(LIGHT)/.ready
