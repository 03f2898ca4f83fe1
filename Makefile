# Everything that is done to this repository, by a person or by CI. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
# Each command of a test is a process: compiled once, they start in half the time.
unexport PYTHONDONTWRITEBYTECODE

# Debian's own interpreter: what a stranger has, and what releases are proved on.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet --quiet
# Two at a time, the long files first: half of what tests do is waiting. One at a time: make test PYTEST_ARGS=-n0
PYTEST_ARGS ?= -n2
INPUTS := pyproject.toml constraints.txt

.PHONY: help up test bare image lint format packages constraints clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(VENV)/.run ## Install what is missing, bring up examples/shop, print its URL
	@cd examples/shop && "$(CURDIR)/$(BIN)/homeport" up

test: $(VENV)/.dev .sceptre/.done lint ## Install what is missing, run every check and test
	@scripts/packages npm g++ zsh fish packer
	@$(BIN)/pytest --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

bare: ## Prove `make up`, deploy, rollback, down in a bare Debian 12 (as root, or through sudo)
	@scripts/packages debootstrap
	@scripts/bare

image: $(VENV)/.dev ## Build the machine image for engine aws with Packer, and name it in AWS: make image REGION=eu-west-1
	@$(BIN)/python scripts/image.py $(REGION)

lint: $(VENV)/.dev ## ruff, mypy, import-linter
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Lay out the code
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format

packages: ## Install the Debian packages that are missing
	@scripts/packages

# The packages are looked at every time (milliseconds); the environment is made anew only when its inputs changed.
$(VENV)/.run: $(INPUTS) | packages
	@echo "homeport: making $(VENV) from $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

# pip before 25.1, such as Debian's, can't read dependency groups.
$(VENV)/.dev: $(VENV)/.run
	@$(PIP) install --constraint constraints.txt --upgrade pip
	@$(PIP) install --constraint constraints.txt --group dev
	@touch $@

# Tests ask Sceptre about the same settings; its pins would disturb ours.
.sceptre/.done: tests/sceptre.txt
	@$(PYTHON) -m venv --clear .sceptre
	@.sceptre/bin/pip --disable-pip-version-check --quiet --quiet install --no-deps --requirement tests/sceptre.txt
	@touch $@

constraints: $(VENV)/.dev ## Move constraints.txt to the newest versions that pyproject.toml allows
	@$(PIP) install --upgrade --upgrade-strategy eager pip --editable . --group dev
	@$(PIP) freeze --all --exclude-editable --exclude setuptools > constraints.txt
	@touch $(VENV)/.run $(VENV)/.dev

clean: ## Remove what `make` made, except what runs (`homeport down` does that)
	@rm -rf $(VENV) .sceptre .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
