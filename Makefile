# Two commands do all the set-up: `make bench` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# The tests of membench itself on all cores, without the plugin: it would take tests that are named by a case for the gate.
PARALLEL := -n auto -p no:membench
# A data set that is not here is let through, but not in CI, which has all: make test SKIP=
SKIP ?= --membench-allow-skip

.PHONY: help setup bench test lint quick slow stranger speed versus asv clean

help:
	@echo "make bench   set up, then run the benchmark suite on real images and gate it against baselines/"
	@echo "make test    set up, then lint, types, import contracts, all tests, and the gate"
	@echo "make speed   time the engines against each other and the digital network, as ratios with goals"
	@echo "make versus  time other simulators in turns with membench and the digital network"
	@echo "make asv     record the current commit for asv's pages: accuracy, time and memory over commits"
	@echo "make stranger   the gate and the fast tests as on another machine: a clone, no data, empty cache and HOME, no network"
	@echo "make quick   the fast tests only    make lint   ruff, mypy, import-linter    make slow   the slow tests only"

setup:
	@$(PYTHON) tools/bootstrap.py

# Cases on data that this machine lacks are shown as SKIPPED with the command that gets the data; every other verdict counts.
bench: setup
	$(BIN)/python -m pytest benchmarks --membench-allow-skip --membench-report=reports $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

quick: setup
	$(BIN)/python -m pytest tests -m "not slow" $(PARALLEL) $(ARGS)

slow: setup
	$(BIN)/python -m pytest tests -m slow $(PARALLEL) $(ARGS)

# In a clone with an environment of its own, which is removed at the end.
stranger:
	tools/stranger.sh

# Ratios in one run, with goals; needs a quiet machine. The table, a figure and its numbers go to reports/speed.
speed: setup
	$(BIN)/python -m pytest benchmarks/test_speed.py -m speed --membench-threads=2 --benchmark-columns=median,iqr,rounds $(ARGS)

# In one run, in turns; exits 1 where another simulator with an ADC is as fast. The table and its numbers go to reports/versus.
versus: setup
	$(BIN)/python tools/versus_speed.py $(ARGS)

# What is recorded under a commit must be that commit.
asv: setup
	@git diff --quiet HEAD || { echo "There are changes that are not committed: asv would record them as the last commit. Commit first."; exit 2; }
	$(BIN)/asv machine --yes > /dev/null
	$(BIN)/asv run --python=same --set-commit-hash=$$(git rev-parse HEAD) --show-stderr $(ARGS)

test: lint
	$(BIN)/python -m pytest tests $(PARALLEL) $(ARGS)
	$(BIN)/python -m pytest benchmarks --membench-gate $(SKIP) --membench-report=reports --junitxml=reports/junit.xml

clean:
	rm -rf .venv .setup.lock reports
