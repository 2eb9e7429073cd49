# make book    the book on localhost          make test       the tests
# make notebooks, desk, results TOPIC=room/topic, set-repository URL=…, format, clean
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?= # e.g. https://download.pytorch.org/whl/cpu, to spare Linux the CUDA packages
SERVE ?= 1
PORT ?= 8000

BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: book test notebooks desk results set-repository format clean

book: $(READY)
	@$(BIN)/python -m rlcourse.book build
ifneq ($(SERVE),0)
	@$(BIN)/python -m rlcourse.book serve --port $(PORT)
else
	@echo "The book: _build/html/index.html"
endif

test: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

notebooks: $(READY)
	$(BIN)/python -m rlcourse.book notebooks
	$(BIN)/python -m rlcourse.book run-notebooks

desk: $(READY)
	$(BIN)/rlcourse desk

results: $(READY)
	@test -n "$(TOPIC)" || { echo "which topic? make results TOPIC=tabular/gridworld"; exit 2; }
	$(BIN)/python -m rlcourse.results $(TOPIC)

set-repository: $(READY)
	@test -n "$(URL)" || { echo "which address? make set-repository URL=https://github.com/…"; exit 2; }
	$(BIN)/python -m rlcourse.book set-repository $(URL)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf _build dist .pytest_cache .mypy_cache .ruff_cache

# One stamp: pip runs again only when what is asked for has changed.
$(READY): pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install -q --disable-pip-version-check \
	  $(if $(strip $(TORCH_INDEX)),--index-url $(strip $(TORCH_INDEX))) torch==2.13.0
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@
