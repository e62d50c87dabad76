# The project's own commands. Each sets up .venv first (PYTHON chooses the interpreter).
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test faults fuzz lint docs bench bench-pull bench-train

demo: $(VENV)/installed  ## the whole job on the example posts, into demo/
	$(RUN) pull_and_clean.py --root demo --tag rmnp --from examples/rmnp_posts.jsonl
	$(RUN) tune_transformer.py --root demo --tag rmnp --train --generate --base-model scratch --epochs 8 --overwrite

test: $(VENV)/installed-dev  ## every test but the faults
	$(RUN) -m pytest --ignore tests/faults

faults: $(VENV)/installed-dev  ## kill pulls at random moments: a few minutes
	$(RUN) -m pytest tests/faults

fuzz: $(VENV)/installed-dev  ## 100,000 inputs for each reader and for the options: some minutes
	$(RUN) tests/fuzz/run.py

lint: $(VENV)/installed-dev  ## style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/installed  ## write the generated parts of DOCS.md
	$(RUN) -m hugging_captions.reference

bench: bench-pull bench-train  ## this against what a user would run instead

bench-pull: $(VENV)/installed-dev
	$(RUN) benchmarks/pull.py

bench-train: $(VENV)/installed-dev
	$(RUN) benchmarks/train.py

$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(RUN) -m pip install --quiet --requirement requirements-dev.txt
	touch $@
