# Every target makes or updates .venv by itself; nothing else has to be set up.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready
WEB     = $(VENV)/.web
PLACES  = $(VENV)/.places
HUB     = $(VENV)/.hub
PORT   ?= 8888

# ONNX Runtime reports to its maker from its first import on.
export ORT_DISABLE_TELEMETRY = 1

.DEFAULT_GOAL := help
.PHONY: help lab hub test places new notebooks assignments site slides pdf lint doubt bench links

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "coursekit needs Python 3.11 or newer, and $(PYTHON) is older: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(WEB): $(READY) requirements-site.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-site.txt
	@touch $@

lab: $(READY)  ## open the notebooks in JupyterLab, on this machine only
	$(BIN)/python tools/lab.py --port $(PORT)

$(HUB): $(READY) deploy/requirements-hub.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r deploy/requirements-hub.txt
	npm install --silent --no-save --ignore-scripts $(PROXY)
	@touch $@

PROXY = --prefix build/proxy configurable-http-proxy@5.3.0
hub: $(HUB)  ## a JupyterHub for the class (docs/hub.md; without settings: for trying, on this machine only)
	$(BIN)/python -m jupyterhub --config deploy/jupyterhub_config.py

test: $(READY)  ## run every test, the notebooks included
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# ONNX Runtime for the page of notebook F, and for Node: nobody else needs npm.
NPM = onnxruntime-web@1.30.0 onnxruntime-node@1.30.0
$(PLACES): $(WEB) requirements-places.txt deploy/requirements-hub.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-places.txt
	if command -v npm; then npm install --silent --no-save --ignore-scripts --prefix build $(NPM); npm install --silent --no-save --ignore-scripts $(PROXY); fi
	@touch $@

places: $(PLACES)  ## imitate Colab, Binder, a browser, hostile machines (Linux, apt's chromium; SHORT=1: not all)
	$(BIN)/python -m pytest -m "places and not extra$(if $(SHORT), and not long)" -n 2 --dist loadfile --no-loadscope-reorder tests/places

new: $(READY)  ## lay down a notebook of your own (NB=20-my-topic, FOLDER=my-course)
	@test -n "$(NB)" || { echo "give it a name: make new NB=20-my-topic"; exit 1; }
	$(BIN)/python -m coursekit.new "$(NB)" --folder "$(or $(FOLDER),my-course)"

notebooks: $(READY)  ## rebuild the notebooks whose master changed (ALL=1: all; FOLDER=my-course: your own)
	$(BIN)/python tools/build_notebooks.py $(if $(ALL),--all) $(if $(FOLDER),--folder "$(FOLDER)")

assignments: $(READY)  ## write the notebooks for nbgrader and otter, quizzes (QTI, Moodle), flashcards, in build/assignments
	$(BIN)/python tools/assignments.py $(if $(POINTS),--points $(POINTS))

site: $(WEB)  ## build the course site, to be read without a kernel, in build/site
	$(BIN)/python tools/course_site.py

slides: $(WEB)  ## build a reveal.js deck for every notebook in build/slides
	$(BIN)/python tools/slides.py

pdf: $(WEB)  ## print all notebooks and the glossary into build/course.pdf (apt's chromium)
	$(BIN)/python tools/course_pdf.py

lint: $(READY)  ## ruff over package, tools, tests and masters; mypy over package and tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/build_notebooks.py --check

doubt: $(READY)  ## run the notebooks changed, as a sceptic would, and judge what they say (SHORT=1: one change; NB="05 A")
	$(BIN)/python tools/doubt.py $(if $(SHORT),--short) $(NB)

bench: $(READY)  ## print the benchmark tables of docs/benchmarks.md
	$(BIN)/python -m benchmarks

links: $(READY)  ## write the repository's address and tag everywhere (REPO=owner/name REF=v0.2.0)
	$(BIN)/python tools/links.py $(REPO) $(if $(REF),--ref $(REF))
