# `make demo` plays a marketplace month; `make test` runs every check. Nothing but Python >= 3.11, make and git
# has to be there: uv is fetched with pip when missing, everything else with uv.
.DEFAULT_GOAL := help
.PHONY: help install demo up down test test-long faults mutants bench lint types imports tests

SHELL := /bin/sh
TOOLS := .souk/tools
UV := $(or $(shell command -v uv 2>/dev/null),$(TOOLS)/bin/uv)
export UV_PYTHON_DOWNLOADS := never
export PATH := $(abspath $(TOOLS)/bin):$(PATH)
RUN := $(UV) run --frozen --no-sync
ARGS ?=
SEED ?= 1
ROUNDS ?= 4
FOR ?=

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(TOOLS)/bin/uv:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "souk needs Python 3.11 or newer as python3; install it and run make again." >&2; exit 1; }
	@python3 -m pip --version >/dev/null 2>&1 \
	  || { echo "souk installs uv with pip: install pip for python3 (or uv itself) and run make again." >&2; exit 1; }
	@echo "fetching uv" >&2
	@PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --target $(TOOLS) uv >&2 \
	  || { rm -rf $(TOOLS); echo "uv could not be downloaded: check the network and run make again." >&2; exit 1; }

ifeq ($(UV),$(TOOLS)/bin/uv)
install: $(TOOLS)/bin/uv
endif
# The first time it downloads for a while, and shows what; later there is nothing to say.
install: ## everything that the suite needs, into .venv
	@$(if $(wildcard .venv),,echo "installing souk's packages into .venv" >&2;) \
	  $(UV) sync --frozen $(if $(wildcard .venv),--quiet) \
	  || { echo "The packages could not be installed: see above, mend it and run make again." >&2; exit 1; }

demo: install ## a marketplace month on real servers; ARGS='--seed 7 --json' are passed on
	@$(RUN) souk demo $(ARGS)

up: install ## start the suite and leave it running
	@$(RUN) souk up $(ARGS)

down: install ## stop it
	@$(RUN) souk down

# Beside each other: the tests wait for servers, and the checks use what they leave of the processor.
test: install ## lint, types, import rules and every test but the long ones
	@$(MAKE) --no-print-directory -j2 lint types imports tests

lint:
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .

types:
	@$(RUN) mypy

imports:
	@$(RUN) lint-imports

# The longest parts first. Three workers on two cores: much of a test is waiting for a server.
tests:
	@$(RUN) pytest -n 3 --no-loadscope-reorder -m "not long" tests/faults/test_rig.py tests/journeys/test_month.py tests services libs deploy $(ARGS)

test-long: install ## what takes longer: every process killed in turn, faults by new seeds, mutants
	@$(RUN) pytest -m long $(ARGS)

faults: install ## load and faults by SEED, for ROUNDS of FOR seconds, and what they broke
	@$(RUN) python tests/faults --seed $(SEED) --rounds $(ROUNDS) $(addprefix --for ,$(FOR)) $(ARGS)

mutants: install ## the suite with one guard taken away at a time: the rig must find each
	@$(RUN) python tests/faults --all-mutants --seed $(SEED) $(addprefix --for ,$(FOR)) $(ARGS)

bench: install ## workloads beside their limits; ARGS='relay intake --quick' chooses
	@$(RUN) python bench $(ARGS)
