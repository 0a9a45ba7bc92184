# What people type. `make demo` and `make test` set up everything they need in .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-slow check lint coverage proof-arm clean

## The whole loop on a built-in scene, with simulated pins: prints each decision, leaves a video and a contact sheet.
demo: $(VENV)/.demo
	$(BIN)/fmd demo --out demo-out

## Every test that takes seconds, on this machine's Python, with everything they need installed.
test: $(VENV)/.test
	$(BIN)/pytest -q -m "not slow"

## What takes minutes: training runs, conversions across Keras versions. See CONTRIBUTING.md.
test-slow: $(VENV)/.test
	$(BIN)/pytest -m slow

## Style and types, as before every commit.
lint check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: $(VENV)/.test
	$(BIN)/pytest -q -m "not slow" --cov --cov-report=term-missing:skip-covered

# Both want root and the apt packages that tests/machine/README.md lists; PROOF_PYTHON any Python with fmd's `demo` extra.
PROOF_PYTHON ?= $(BIN)/python

## fmd's package on an arm64 userland and under a real systemd, without a board. The first run makes what it caches.
proof-arm: $(VENV)/.test
	$(PROOF_PYTHON) -m tests.machine.proof_arm

clean:
	rm -rf $(VENV) demo-out build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools

$(VENV)/.demo: setup.cfg | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.test: setup.cfg | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[demo,convert,onnx,train,test]'
	touch $@
