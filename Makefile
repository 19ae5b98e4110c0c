# make demo     real switches learn an overlay before your eyes (root)
# make test     every check and every test (root)
# make unit     only the tests that need no Open vSwitch
# make e2e      only the tests on real switches (root); ARGS="-k move -x" goes to pytest
# make check    format, lint, types and the direction of imports
# make docs     regenerate the generated parts of docs/ (root)
# make bench    what the core costs, in CPU time
# make clean    remove .venv and all caches

PYTHON_IN_VENV := .venv/bin/python
PYTEST := $(PYTHON_IN_VENV) -m pytest
FAST := tests/unit tests/property tests/golden tests/contract
REAL := tests/ovs tests/e2e
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-python demo test check unit e2e docs bench clean
# One after the other, even with make -j: the checks come first, and the output stays readable.
.NOTPARALLEL:

help:
	@sed -n '/^# make/s/^# //p' Makefile

setup:
	@scripts/setup

setup-python:
	@scripts/setup --python-only

demo: setup
	@scripts/sandbox /usr/bin/python3 mininet_topos/demo.py $(ARGS)

test: setup check unit e2e

check: setup-python
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

unit: setup-python
	$(PYTEST) --basetemp=.pytest_tmp $(FAST) $(ARGS)

e2e: setup
	scripts/sandbox $(PYTEST) $(REAL) $(ARGS)

docs: setup
	scripts/sandbox $(PYTHON_IN_VENV) -m tests.support.dump docs/.dump
	$(PYTHON_IN_VENV) -m controller.pipeline < docs/.dump > docs/pipeline.md
	rm docs/.dump
	$(PYTHON_IN_VENV) -m controller.rest.metrics > docs/metrics.md
	$(PYTHON_IN_VENV) -m controller.cli.reference docs/cli.md
	WEFT_WRITE_DOCS=1 scripts/sandbox $(PYTEST) tests/e2e/test_readme.py tests/e2e/test_docs.py

bench: setup-python
	$(PYTHON_IN_VENV) -m bench.core
	$(PYTHON_IN_VENV) -W ignore -m bench.rest

clean:
	rm -rf .venv build *.egg-info .hypothesis .mypy_cache .pytest_cache .pytest_tmp .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
