# Commands for people who read, test or change sparseot. Needs Python >= 3.11 and make.
PYTHON ?= python3
PORT   ?= 8888

VENV := .venv
BIN  := $(VENV)/bin
PY   := $(BIN)/python
SITE := docs/_build/html

# What the site is made of; folders, too, so that a file which is gone counts as a change.
MADE := __pycache__ _build api auto_gallery gen artefacts
SITE_FILES = $(shell find sparseot/. widgets/. gallery/. docs/. tests/browser/. \
  \( $(MADE:%=-name % -o) -false \) -prune -o -print)

# Two processes share the files of the tests; each loads torch, and compiles what it is the first to need.
PYTEST  := $(PY) -m pytest
WORKERS := -n 2 --dist loadfile

# How JupyterLab is started on this machine, in a workspace that knows nothing of your other tabs.
DISPLAYS := $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname -s))
LAB_FLAGS = --port=$(PORT) $(if $(DISPLAYS),,--no-browser) $(if $(filter 0,$(shell id -u)),--allow-root)
LAB_EXTENSIONS := build/labextensions

say = @printf '\n== %s\n'

.DEFAULT_GOAL := help
.PHONY: help lab lint test check hours gpu gallery clean

help:
	@echo "make lab [PORT=8888]  open the tutorials in JupyterLab"
	@echo "make test             lint, types, import order, fast tests: 6 minutes, 9 at the first time"
	@echo "make check            these and the slow ones: KeOps, Chromium, notebooks; 30 minutes"
	@echo "make hours            what takes longer still, run whole: an hour on two free cores"
	@echo "make gpu              on a machine with a CUDA device: its tests, and how fast it is; 15 minutes"
	@echo "make gallery          run the tutorials that changed, build the site: $(SITE)/index.html"
	@echo "make clean            remove what was built; .venv and notebooks/ stay"
	@echo
	@echo "The first call makes .venv (PYTHON=$(PYTHON)) and takes minutes, the next ones seconds."

lab: $(VENV)/.docs.stamp
	$(say) "Turning the tutorials into notebooks"
	@$(PY) docs/notebooks.py gallery notebooks
	@$(PY) widgets/lab/pack.py $(LAB_EXTENSIONS)/sparseot
	$(say) "Starting JupyterLab on notebooks/ (stop it with Ctrl-C); open the URL that ends in ?token=..."
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter lab $(LAB_FLAGS) \
	  --ServerApp.root_dir=notebooks --LabApp.extra_labextensions_path=$(CURDIR)/$(LAB_EXTENSIONS) \
	  --LabApp.default_url=/lab/workspaces/sparseot

lint: $(VENV)/.test.stamp
	$(say) "Lint"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	$(say) "Types"
	@$(BIN)/mypy
	$(say) "Import order"
	@$(BIN)/lint-imports

test: lint
	$(say) "Fast tests, and the examples of the docstrings"
	@$(PYTEST) $(WORKERS) -m "not (gpu or slow or hours or browser)" --doctest-modules tests sparseot widgets

# Each test runs once: here are those that make test leaves out, but for the site, which make gallery builds, and make hours.
check: test
	$(say) "Slow tests, KeOps and Chromium"
	@$(PYTEST) $(WORKERS) -m "(slow or browser) and not (gpu or hours)" tests --ignore tests/browser/test_site.py
	$(say) "The notebooks of the first steps (nbmake passes over folders named _build)"
	@$(PY) docs/notebooks.py gallery build/notebooks
	@$(PYTEST) --nbmake build/notebooks/first_steps

hours: $(VENV)/.test.stamp
	$(say) "Tests that take an hour"
	@$(PYTEST) -m hours tests

gpu: $(VENV)/.test.stamp
	$(say) "Tests on the CUDA device"
	@$(PYTEST) -m gpu tests
	$(say) "Beside KeOps, GeomLoss and, where it is installed, flash-sinkhorn"
	@cd benchmarks && ../$(PY) -m gpu.peers

gallery: $(SITE)/.complete
	@echo "Read $(SITE)/index.html"

# It is there if the site was built and every page opened, so that nothing is done until a file changes.
$(SITE)/.complete: $(VENV)/.test.stamp $(SITE_FILES)
	$(say) "Running the tutorials that changed, or all if the library did, and building the site"
	@rm -rf $(SITE) docs/api
	@$(PY) -m sphinx -b html -d docs/_build/doctrees -W --keep-going -q -E -a docs $(SITE)
	$(say) "Opening every page offline"
	@SPARSEOT_SITE_REQUIRED=1 $(PYTEST) tests/browser/test_site.py
	@touch $@

clean:
	rm -rf build docs/_build docs/auto_gallery docs/api docs/gen tests/browser/artefacts
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# The environment. bin/activate is the last file that venv writes.
$(BIN)/activate:
	$(say) "Creating $(VENV)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("sparseot needs Python >= 3.11, but $(PYTHON) is %d.%d. Try: make PYTHON=python3.12" % v[:2])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.%.stamp: pyproject.toml constraints.txt | $(BIN)/activate
	$(say) "Installing sparseot[$*] into $(VENV), as pinned by constraints.txt"
	@$(PY) -m pip install -qq --disable-pip-version-check -e ".[$*]" -c constraints.txt
	@touch $@
