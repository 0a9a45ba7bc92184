# Commands for users and contributors. `make demo` and `make test` first install what they need into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo page test test-slow check lint coverage deb release site proof-arm proof-machine proof-first-boot proof-fleet lint-fleet bench-image clean

## Play a built-in scene with simulated pins: print each decision, write a video and a contact sheet.
demo: $(VENV)/.demo
	$(BIN)/fmd demo --out demo-out

## Show the web page of the same scene, and print its address for a browser on this machine.
page: $(VENV)/.page
	@trap : INT; $(BIN)/fmd page --demo || [ $$? = 130 ]  # the trap keeps make from reporting Ctrl-C as an error

# A process per core runs one file of tests after the other; each may import TensorFlow, which takes 1 GB of memory.
BESIDE = --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

## Run all fast tests on this machine's Python, with everything they need.
test: $(VENV)/.test
	$(BIN)/pytest -q -m "not slow" $(BESIDE)

## Run the slow tests: training, conversions across Keras versions. See CONTRIBUTING.md.
test-slow: $(VENV)/.test
	$(BIN)/pytest -m slow

## Check style and types, as before every commit.
lint check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## Check playbooks and roles of fleet/ with Debian's yamllint and ansible-lint, without a network.
lint-fleet:
	cd fleet && yamllint --strict . && ansible-lint --strict

coverage: $(VENV)/.test
	$(BIN)/pytest -q -m "not slow" $(BESIDE) --cov --cov-report=term-missing:skip-covered

# Target of the package: DEB_ARCH is arm64 (boards) or amd64; PYTHONS are the Python versions of the target systems.
DEB_ARCH ?= arm64
PYTHONS ?= 3.10,3.11,3.12,3.13

# The system's Python builds the package; its setuptools-scm reads the newest tag. Debian 12's ends with an error in an
# archive of a commit without a tag. dpkg-buildpackage names it if it is missing.
SYSTEM_PYTHON ?= /usr/bin/python3
VERSION ?= $(shell $(SYSTEM_PYTHON) -W ignore -m setuptools_scm 2>/dev/null || echo 0.0)
# All files of the checkout, or of an unpacked archive without .git.
FILES = git ls-files -z --cached --others --exclude-standard 2>/dev/null || \
	find . \( -name .git -o -name '.?*' ! -name '.git*' -o -path ./build -o -path ./dist \) -prune -o \( -type f -o -type l \) -print0
DATE = $(shell git log -1 --format=%ct 2>/dev/null || date +%s)

## Build build/fmd_VERSION_ARCH.deb. docs/install.md lists the Debian packages that this needs.
deb:
	rm -rf build/deb && mkdir -p build/deb/fmd
	($(FILES)) | xargs -0 cp --parents --no-dereference --target-directory build/deb/fmd
	$(SYSTEM_PYTHON) debian/changelog.py '$(VERSION)' $(DATE) >build/deb/fmd/debian/changelog
	cd build/deb/fmd && SETUPTOOLS_SCM_PRETEND_VERSION='$(VERSION)' PYTHONS=$(PYTHONS) \
		WHEELS='$(CURDIR)/build/wheels-$(DEB_ARCH)-$(PYTHONS)' \
		dpkg-buildpackage --build=binary --no-sign --host-arch $(DEB_ARCH)
	rm -f build/fmd_*_$(DEB_ARCH).deb
	mv build/deb/*.deb build/
	rm -rf build/deb

# Packages of earlier versions, which the apt repository of a release keeps.
EARLIER ?=

## Make dist/, everything that users download, from a clean, tagged checkout. CONTRIBUTING.md describes it.
release: $(VENV)/.release
	$(BIN)/python -m release.build $(if $(EARLIER),--earlier '$(EARLIER)')

## Build the documentation site into build/site.
site: $(VENV)/.release
	$(BIN)/python -m release.site build/site

# The proofs need root and the Debian packages that tests/machine/README.md lists.

## Prove the package on an arm64 userland and under a real systemd. The first run fills a cache.
proof-arm: $(VENV)/.demo
	$(BIN)/python -m tests.machine.proof_arm

## Prove the package on an emulated board: alarm on its pins, kills, a stalled camera, power cuts.
proof-machine: $(VENV)/.demo
	$(BIN)/python -m tests.machine.proof_machine

## Prove the first boot of a card from `fmd flash`: cloud-init (Trixie) and firstrun.sh (Bookworm).
proof-first-boot: $(VENV)/.demo
	$(BIN)/python -m tests.machine.proof_first_boot

## Prove the playbooks of fleet/ on a hub and two doors, three Debian machines under their own systemd.
proof-fleet: $(VENV)/.demo
	$(BIN)/python -m tests.fleet.proof

## Build build/fmd-bench.img, Debian for arm64 with the package, and print the command that boots it on the emulator.
bench-image: $(VENV)/.demo
	mkdir -p build
	$(BIN)/python -m tests.machine.image build/fmd-bench.img

clean:
	rm -rf $(VENV) demo-out build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	@echo "updating pip in $(VENV) ..."
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools

# Prints how many MB pip downloads (measured on x86_64 with Python 3.11), as pip itself is quiet.
installing = echo "installing into $(VENV): about $(1) MB to download, $$(($(1) * 8 / 600 + 1)) minutes at 10 Mbit/s ..."

# PYTHONWARNINGS hides a long setuptools warning about editable installations.
$(VENV)/.demo: setup.cfg | $(VENV)/bin/python
	@$(call installing,165)
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.page: setup.cfg | $(VENV)/bin/python
	@$(call installing,165)
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[page,demo]'
	touch $@

$(VENV)/.test: setup.cfg | $(VENV)/bin/python
	@$(call installing,930)
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[demo,convert,onnx,train,test,release]'
	touch $@

$(VENV)/.release: setup.cfg | $(VENV)/bin/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[release]'
	touch $@
