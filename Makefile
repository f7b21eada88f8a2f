# One command a job; each sets up .venv by itself and is quick the second time.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
RUN_STAMP := $(VENV)/.run-stamp
DEV_STAMP := $(VENV)/.dev-stamp
PIP := $(PY) -m pip --disable-pip-version-check
.DEFAULT_GOAL := help
.PHONY: help venv demo test test-stack compiled test-compiled check format codegen bench collector env clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20

$(RUN_STAMP): pyproject.toml constraints.txt
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q --upgrade -c constraints.txt pip
	$(PIP) install -q -c constraints.txt -e '.[agent,demo,bench,explore]'
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	$(PIP) install -q -c constraints.txt --group dev
	@touch $@

venv: $(DEV_STAMP)  ## set up .venv with everything that developing needs

demo: $(RUN_STAMP)  ## watch a real RAG app answer questions, end to end
	@$(VENV)/bin/ragwatch demo --cache-dir .cache/demo $(ARGS)

test: $(DEV_STAMP)  ## run the tests
	$(PY) -m pytest -n auto --dist worksteal -q $(ARGS)

test-stack: $(DEV_STAMP)  ## run what ships around the agent: collector, rules, compose file (needs go)
	@$(PY) -m tests.support.prepare
	$(PY) -m pytest -n 2 --dist loadscope -m stack -q $(ARGS)

COMPILED := .cache/compiled
# What HOT in hatch_build.py names, and what that imports: mypyc puts its constants into the extensions.
COMPILED_SOURCES := $(wildcard ragwatch/conventions/*.py ragwatch/assembly/*.py ragwatch/kpi/*.py ragwatch/*.py ragwatch/resilience/tallies.py)
ON_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(COMPILED)/site:$(CURDIR)

compiled: $(COMPILED)/.site-stamp  ## compile the agent's hot modules into .cache/compiled/site (needs gcc)

$(COMPILED)/.wheel-stamp: $(DEV_STAMP) hatch_build.py $(COMPILED_SOURCES)
	rm -rf $(COMPILED)/wheel
	HATCH_BUILD_HOOKS_ENABLE=1 $(PIP) wheel -q --no-deps --build-constraint constraints.txt -w $(COMPILED)/wheel .
	@touch $@

# All of the package is taken from the checkout once more: what is not compiled may be newer than the wheel.
$(COMPILED)/.site-stamp: $(COMPILED)/.wheel-stamp $(shell find ragwatch -name '*.py')
	@rm -rf $(COMPILED)/site
	@$(PIP) install -q --no-deps --no-compile --target $(COMPILED)/site $(COMPILED)/wheel/*.whl
	@cp -R ragwatch $(COMPILED)/site/
	@touch $@

test-compiled: $(COMPILED)/.site-stamp  ## run the tests of what is compiled, and of the agent, on the compiled build
	$(ON_COMPILED) RAGWATCH_EXPECT=compiled $(PY) -m pytest -n auto --dist worksteal -q -o pythonpath= \
		tests/test_record.py tests/conventions tests/assembly tests/kpi tests/agent tests/chaos tests/e2e $(ARGS)

check: $(DEV_STAMP)  ## format, lint, types, layers, generated files
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/ragwatch codegen --check
	$(PY) -m pytest -q -n 0 tests/test_layers.py
	$(PY) -m pytest -q -n 0 --doctest-modules ragwatch

format: $(DEV_STAMP)  ## rewrite the code in the house format
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

codegen: $(DEV_STAMP)  ## write the files that derive from the catalogue
	$(VENV)/bin/ragwatch codegen

# The agent is measured as its image ships it, compiled, where that can be built; PURE=1 measures the interpreted build.
BENCH_COMPILED := $(if $(PURE),,$(if $(shell command -v cc),$(COMPILED)))

bench: $(DEV_STAMP) $(BENCH_COMPILED:%=%/.site-stamp)  ## measure what ragwatch costs, beside the raw OpenTelemetry SDK
	$(PY) -m benchmarks $(BENCH_COMPILED:%=--compiled %/site) $(ARGS)

ENV_FILE := .env

env:  ## write .env for docker-compose.yml, with passwords of your own
	@$(PYTHON) deploy/make_env.py $(ENV_FILE)

COLLECTOR := .cache/tools/otelcol
COLLECTOR_SOURCES := $(wildcard deploy/collector/*.go) deploy/collector/go.mod deploy/collector/go.sum

collector: $(COLLECTOR)  ## build the OpenTelemetry Collector that contract tests run against (needs go)

$(COLLECTOR): $(COLLECTOR_SOURCES)
	@mkdir -p $(@D)
	cd deploy/collector && go build -mod=mod -trimpath -buildvcs=false -o $(CURDIR)/$@.new .
	@mv $@.new $@

clean:  ## remove the environment and caches of this checkout
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
