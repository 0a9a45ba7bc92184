# What people type. `make demo` and `make test` set up everything they need in .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-slow check lint coverage deb proof-arm proof-machine proof-first-boot bench-image clean

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

# What the package is for: DEB_ARCH arm64 (boards) or amd64; PYTHONS those of the systems it shall install on.
DEB_ARCH ?= arm64
PYTHONS ?= 3.10,3.11,3.12,3.13

## build/fmd_VERSION_ARCH.deb. Wants: apt install build-essential debhelper help2man python3-packaging python3-pip python3-wheel
deb:
	rm -rf build/deb && mkdir -p build/deb/fmd
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --no-dereference --target-directory build/deb/fmd
	cd build/deb/fmd && WHEELS='$(CURDIR)/build/wheels-$(DEB_ARCH)-$(PYTHONS)' PYTHONS=$(PYTHONS) \
		dpkg-buildpackage --build=binary --no-sign --host-arch $(DEB_ARCH)
	mv build/deb/*.deb build/
	rm -rf build/deb

# The next three want root, and the apt packages that tests/machine/README.md lists.

## fmd's package on an arm64 userland and under a real systemd, without a board. The first run makes what it caches.
proof-arm: $(VENV)/.demo
	$(BIN)/python -m tests.machine.proof_arm

## A whole emulated board: the alarm on its pins, kills, a stalled camera, power cuts.
proof-machine: $(VENV)/.demo
	$(BIN)/python -m tests.machine.proof_machine

## A card that `fmd flash` prepared, booted for the first time: cloud-init (Trixie) and firstrun.sh (Bookworm).
proof-first-boot: $(VENV)/.demo
	$(BIN)/python -m tests.machine.proof_first_boot

## build/fmd-bench.img: Debian for arm64 with the package, to boot on the emulator (the command is printed).
bench-image: $(VENV)/.demo
	mkdir -p build
	$(BIN)/python -m tests.machine.image build/fmd-bench.img

clean:
	rm -rf $(VENV) demo-out build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools

# Without warnings: setuptools frames one in stars about every editable installation.
$(VENV)/.demo: setup.cfg | $(VENV)/bin/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.test: setup.cfg | $(VENV)/bin/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[demo,convert,onnx,train,test]'
	touch $@
