# Everything a person types. `make` alone prints this list.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON_FOUND = $$(PYTHON="$(PYTHON)" ./scripts/find-python)
BOOTSTRAP = python="$(PYTHON_FOUND)" && "$$python" -m scripts.bootstrap
BIN := .venv/bin
TESTS ?= tests
PYTEST_ARGS ?=
MINUTES ?= 90
# Percent of lines and branches; a selection of the tests can not reach it.
FLOOR = $(if $(filter-out tests,$(TESTS))$(PYTEST_ARGS),,--fail-under=90)

.PHONY: help
help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ready  ## install what is missing, then start Cloister; Ctrl-C stops it
	@exec $(BIN)/cloister run

.PHONY: ready
ready:  ## install what is missing, start nothing
	@$(BOOTSTRAP) run

.PHONY: ready-test
ready-test:
	@$(BOOTSTRAP) test

.PHONY: test
test: check  ## run every check and every test, with branch coverage
	@rm -f .coverage .coverage.*
	$(BIN)/pytest $(TESTS) --cov --cov-report= --durations=15 $(PYTEST_ARGS)
	$(BIN)/coverage report --skip-covered $(FLOOR)

.PHONY: exhaustive
exhaustive: ready-test  ## the tests that take longest: every bit of an export, 500 kills (half an hour)
	$(BIN)/pytest $(TESTS) -m exhaustive $(PYTEST_ARGS)

.PHONY: check
check: ready-test  ## format, lint, types, import contracts, shell scripts, playbooks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	shellcheck scripts/find-python .ci/run playbooks/install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --offline -q playbooks

.PHONY: architectures
architectures: ready-test  ## small models of every architecture, for their tests (PyTorch; minutes)
	@test -e "$$($(BIN)/python -m tests.architectures.made)/COMPLETE" || { \
	    $(BIN)/python -m venv .venv-transformers && \
	    .venv-transformers/bin/pip install -qq --require-hashes \
	        --requirement requirements/transformers.txt && \
	    .venv-transformers/bin/python -m tests.architectures.make; }

.PHONY: tool
tool: ready  ## the officers' tool as one file, dist/cloister-audit.pyz, with its SHA-256
	@$(BIN)/python -m scripts.officers_tool dist/cloister-audit.pyz

.PHONY: peers
peers: ready-test  ## others' models of FHIR and OCSF, and what reads PDF, for the tests that ask them
	$(BIN)/python -m venv .venv-peers
	.venv-peers/bin/pip install -qq --require-hashes --requirement requirements/peers.txt

.PHONY: format
format: ready-test  ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: ready-test  ## measure engine and log on this machine
	$(BIN)/python -m tests.benchmarks.engine
	$(BIN)/python -m tests.benchmarks.audit

.PHONY: screenshots
screenshots: ready-test  ## make the pictures in docs/images again
	$(BIN)/python -m tests.browser.screenshots

.PHONY: demo-model
demo-model: ready  ## train the demo model again, from nothing (more than an hour)
	$(BIN)/python -m venv .venv-train
	.venv-train/bin/pip install --quiet --requirement models/demo/requirements.in
	OMP_WAIT_POLICY=PASSIVE .venv-train/bin/python -m models.demo.recipe all --minutes $(MINUTES)

.PHONY: requirements
requirements: ready-test  ## pin the requirements again (needs an index)
	@for name in pip build runtime ansible dev transformers peers; do \
	    $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	        --no-emit-index-url --custom-compile-command 'make requirements' \
	        --output-file requirements/$$name.txt requirements/$$name.in || exit 1; \
	done
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --custom-compile-command 'make requirements' \
	    --no-deps --no-binary llama-cpp-python \
	    --output-file requirements/llama.txt requirements/llama.in

.PHONY: clean
clean:  ## remove what was built; state (./var) and the wheel cache stay
	rm -rf .venv .venv-* build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache \
	    .hypothesis .import_linter_cache .coverage .coverage.* htmlcov
