# Everything a newcomer needs: `make demo` and `make test`. Both install what is missing.

PYTHON ?= python3
LEVELS ?= 1
NODES ?= 8
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where an environment says that Python keeps no bytecode, every process of a test would compile all of Kraken.
unexport PYTHONDONTWRITEBYTECODE
MODULES := $(addprefix ansible_collections/kraken/hpc/plugins/,modules module_utils)

.PHONY: help demo test test-rooms test-whole test-collection check lint types imports unit soak benchmarks pictures docs-collection clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

demo: $(STAMP) ## a cluster from cold to in service, live in this terminal (NODES=64 LEVELS=3 ARGS=--exit)
	@$(BIN)/python -m kraken.testing.demo --nodes $(NODES) --levels $(LEVELS) $(ARGS)

test: $(STAMP) packages ## everything: lint, types, rooms, unit, property, simulation, end-to-end
	@$(MAKE) --no-print-directory -j 2 lint types imports
	@$(MAKE) --no-print-directory test-rooms test-whole

test-rooms: $(STAMP) ## of the tests those that start no cluster: unit, property, simulation, models
	$(BIN)/pytest -n 3 --dist worksteal -m "not e2e and not collection"

test-whole: $(STAMP) packages ## of the tests those that do: end-to-end
	$(BIN)/pytest -n 4 --dist loadgroup -m e2e

test-collection: $(STAMP) ## the collection before the tools of the Ansible world: sanity, Galaxy, the oldest Ansible
	$(BIN)/pytest -m collection tests/collection

check: $(STAMP) ## what must be green before a commit: lint, types, rooms, the fast tests
	@$(MAKE) --no-print-directory -j 2 lint types imports
	$(BIN)/pytest -n 3 --dist worksteal -m "not e2e and not collection and not simulation and not slow"

lint: $(STAMP) ## ruff over all Python, ansible-lint over all YAML
	$(BIN)/ruff check kraken tests
	$(BIN)/ruff format --check kraken tests
	$(BIN)/ruff check --isolated --select E9,F --target-version py37 $(MODULES)  # the oldest on a target
	ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=false $(BIN)/ansible-lint --offline --profile production playbooks inventory examples ansible_collections/kraken/hpc

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP) ## the rooms import downwards only
	$(BIN)/lint-imports

soak: $(STAMP) ## the simulation with many more seeds
	KRAKEN_SEEDS=20000 KRAKEN_TREE_SEEDS=50000 KRAKEN_WOOD_SEEDS=10000 $(BIN)/pytest -n 2 -m simulation

benchmarks: $(STAMP) packages ## figures, each beside a peer where there is one
	@for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

pictures: $(STAMP) ## the pictures of the base modules in docs/ (needs Graphviz)
	@$(BIN)/python -m kraken.cli.pictures

docs-collection: $(STAMP) ## the pages of the collection, as docs.ansible.com has them, in build/collection
	@$(BIN)/python -m tests.collection.docsite build/collection

.PHONY: packages
packages: $(STAMP) ## the Debian packages that the end-to-end tests and the models need (as root; otherwise says which)
	@$(BIN)/python -m kraken.testing.packages

$(STAMP): setup.cfg pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

clean: ## remove what was installed and built here
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
