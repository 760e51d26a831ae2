# The verbs of this repository. Everything runs in .venv; `make setup` makes it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PHOTO ?=
PORT ?= 8000

.PHONY: help setup demo serve test test-slow test-clients test-deploy test-ray test-web check format docs site bench load soak compare clean

help: ## This list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Makes .venv with the command objectcut and everything that development needs.

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: setup ## Starts the service, cuts a real photo through HTTP, prints the URL. PHOTO=path for your own.
	$(BIN)/python -m deploy.demo $(PHOTO)

serve: setup ## Runs the service with its page on http://127.0.0.1:$(PORT)/ for this machine only.
	$(BIN)/objectcut serve --port $(PORT) --anonymous

test: setup ## Every test that belongs to a change, in a few minutes.
	$(BIN)/pytest -n 2 --dist loadfile -m 'not slow and not clients and not deploy and not ray and not web'

test-slow: setup ## The long suites: 5,000 mutated images and what else takes minutes.
	$(BIN)/pytest -m slow --timeout 3600

test-clients: setup ## Published clients of remove.bg, unchanged, against the service; says what it could not install.
	$(BIN)/python -m tests.clients.install
	$(BIN)/pytest -m clients tests/clients

test-deploy: setup ## The real Traefik, with the shipped configuration, before real services and workers; ends with figures.
	$(BIN)/pytest -m deploy tests/deploy

test-ray: setup ## The service on a Ray cluster of several nodes, some of which are lost; ends with figures. Installs Ray.
	$(BIN)/pip install --quiet --editable '.[ray]'
	$(BIN)/pytest -m ray tests/ray

test-web: setup ## The page in Chromium against the service; keeps what it saw in web-screenshots/.
	$(BIN)/pytest -m web tests/web

check: setup ## Format, lint, types, layers, and that the generated docs are fresh.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.configuration --check
	$(BIN)/python -m docs.reference --check
	$(BIN)/python -m docs.openapi_document --check

format: setup ## Formats and mends what can be mended.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup ## Writes the generated pages again.
	$(BIN)/python -m docs.configuration
	$(BIN)/python -m docs.reference
	$(BIN)/python -m docs.openapi_document
	$(BIN)/python -m deploy.grafana.dashboard
	$(BIN)/python -m docs.pictures
	$(BIN)/python -m docs.gallery
	$(BIN)/python -m docs.plots
	$(BIN)/python -m docs.page_picture

site: setup ## The documentation as a site in site/, without a request to anybody.
	$(BIN)/mkdocs build --strict

bench: setup ## Networks, the work around them, the whole service; writes docs/BENCHMARK.md.
	$(BIN)/python -m tests.bench

load: setup ## Three times what the service can do, for a minute: goodput, refusals, recovery.
	$(BIN)/python -m tests.load.overload

soak: setup ## Two thousand requests of every kind, and whether anything is left behind.
	$(BIN)/python -m tests.load.soak

compare: setup ## The same network served by rembg and by us, turn by turn. Installs rembg in .peers.
	$(BIN)/pip install --quiet --editable '.[peers]'
	test -x .peers/bin/rembg || { $(PYTHON) -m venv .peers && .peers/bin/pip install --quiet 'rembg[cpu,cli]==2.0.86'; }
	$(BIN)/python -m tests.load.rembg

clean: ## Removes what the verbs made.
	rm -rf $(VENV) .peers var demo-output web-screenshots site build *.egg-info .mypy_cache .ruff_cache .pytest_cache
