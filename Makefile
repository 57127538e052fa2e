# The commands a person types; `make` alone lists them. GNU make 3.81 and newer (the one of macOS too).

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin

# The first Python that is new enough, python3 preferred.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip --quiet --no-input
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --python-version 3.11 \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
# Tests wait more than they compute, so this is more than there may be CPUs.
JOBS ?= 3
# The image: a repository of yours, without a tag (make image IMAGE=registry.example.org/team/gristmill).
IMAGE ?= gristmill/gristmill
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
CODE := $(wildcard src test processes bench tools)
# Tests start some hundred processes, and without bytecode each would compile all that it imports, for two seconds.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(VENV)/.ready ## Start everything on this computer, run a sample job, serve until Ctrl-C (PORT=8080: there)
	@$(BIN)/gristmill up --demo $(if $(PORT),--port $(PORT)) $(ARGS)

.PHONY: install
install: $(VENV)/.ready-dev ## Install Gristmill and what its development needs into .venv
	@echo "Gristmill is installed: $(BIN)/gristmill"

.PHONY: test
test: $(VENV)/.ready-dev ## Run the tests, but for the slow ones (JOBS=3: so many at a time)
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow" $(ARGS)

.PHONY: test-slow
test-slow: $(VENV)/.ready-dev ## Run the tests that take more than some seconds each
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m slow $(ARGS)

.PHONY: lint
lint: $(VENV)/.ready-dev ## Check style and common mistakes
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

.PHONY: lint-kubernetes
lint-kubernetes: $(VENV)/.ready-dev ## Let scanners look at kubernetes/ (checkov, kube-score)
	tools/lint-kubernetes

.PHONY: format
format: $(VENV)/.ready-dev ## Lay the code out as lint wants it
	$(BIN)/ruff check --fix-only $(CODE)
	$(BIN)/ruff format $(CODE)

.PHONY: types
types: $(VENV)/.ready-dev ## Check the types
	$(BIN)/mypy

.PHONY: docs
docs: $(VENV)/.ready-dev ## Write the generated pages of docs/ and check them all
	$(BIN)/python tools/write_docs.py
	$(BIN)/python tools/check_docs.py

.PHONY: check-docs
check-docs: $(VENV)/.ready-dev ## Check that the docs name what exists, and the other way round
	$(BIN)/python tools/check_docs.py

.PHONY: check
check: lint types check-docs test test-slow ## Everything that must be right before a commit

.PHONY: wheel
wheel: $(VENV)/.ready-dev ## Build the wheel into dist/
	rm -rf dist
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

.PHONY: wheel-test
wheel-test: wheel ## Check the built wheel's files, and run the integration suite against it, installed on its own
	tools/wheel-test -n $(JOBS) --dist worksteal $(ARGS)

.PHONY: image
image: ## Build the image, tagged with the version (IMAGE=: another repository)
	@tools/build-image $(IMAGE):$(VERSION)
	@echo "Next: make up$(if $(filter-out gristmill/gristmill,$(IMAGE)), IMAGE=$(IMAGE))"

.PHONY: up
up: image ## Start Redis, API and worker in containers, wait until all is well (PORT=8080, ARGS="--scale worker=3")
	@APP_IMAGE=$(IMAGE):$(VERSION) PORT=$(PORT) tools/compose up $(ARGS)

.PHONY: down
down: ## Stop the containers; the data stay in data/redis/
	@tools/compose down $(ARGS)

.PHONY: test-image
test-image: up ## Run the integration suite in the image against the containers
	@tools/build-image $(IMAGE):$(VERSION)-test test
	@tools/compose test

.PHONY: e2e
e2e: e2e-context $(VENV)/.ready-dev ## Try both environments on the cluster that E2E_CONTEXT names (see CONTRIBUTING.md)
	$(BIN)/pytest -n 0 test/e2e $(ARGS)

.PHONY: e2e-context
e2e-context:
	@test -n "$(E2E_CONTEXT)" || { \
		echo "Name the cluster, and how images get there, for instance:" >&2; \
		echo "  make e2e E2E_CONTEXT=kind-kind E2E_LOAD='kind load docker-image {image}'" >&2; \
		echo "CONTRIBUTING.md has the other settings; kubectl config get-contexts lists the clusters." >&2; exit 1; }

.PHONY: bench
bench: $(VENV)-bench/.ready ## Measure against peers and limits; writes bench/results/
	$(VENV)-bench/bin/python -m bench $(ARGS)

.PHONY: lock
lock: | $(VENV)/bin/python ## Renew requirements*.txt from pyproject.toml (UPGRADE=1: with the newest versions)
	@test -x $(BIN)/uv || $(PIP) install uv
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) -c requirements.txt --group build -o requirements-build.txt
	$(LOCK) -c requirements.txt --group test -o requirements-test.txt
	$(LOCK) -c requirements.txt -c requirements-build.txt -c requirements-test.txt --group dev --all-extras pyproject.toml -o requirements-dev.txt
	$(LOCK) --group bench pyproject.toml -o requirements-bench.txt

.PHONY: clean
clean: ## Remove what was built or installed; data/ stays
	rm -rf $(VENV) $(VENV)-bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis htmlcov .coverage
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { \
		echo "Gristmill needs Python 3.11 or newer; python3 is $$(python3 --version 2>/dev/null || echo not installed)." >&2; \
		echo "Install a newer one (python.org, apt-get install python3, brew install python), or name it: make PYTHON=..." >&2; \
		exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.ready: requirements.txt requirements-build.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what Gristmill needs into $(VENV) (a minute or less) ..."
	@$(PIP) install --no-compile --require-hashes -r requirements-build.txt -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	@echo "Installing what its development needs ..."
	@$(PIP) install --no-compile --require-hashes -r requirements-dev.txt
	@touch $@

# The rivals need other versions of what Gristmill needs too, so they get an environment of their own.
$(VENV)-bench/.ready: requirements-bench.txt requirements-build.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing Gristmill and the rivals to measure against into $(VENV)-bench ..."
	@rm -rf $(VENV)-bench
	@$(BIN)/python -m venv $(VENV)-bench
	@$(subst $(BIN),$(VENV)-bench/bin,$(PIP)) install --no-compile --require-hashes -r requirements-build.txt -r requirements-bench.txt
	@$(subst $(BIN),$(VENV)-bench/bin,$(PIP)) install --no-deps --no-build-isolation --editable .
	@touch $@
