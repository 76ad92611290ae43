# make repro   set up once, reproduce the quickstart study, print the comparison
# make test    set up once, run the tests
# make setup   set up, and nothing else
# make ui      every run in MLflow, on this machine only
# make help    the rest

PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready
STUDY  ?= quickstart
PIPE   := $(if $(filter quickstart,$(STUDY)),dvc.yaml,experiments/$(STUDY)/dvc.yaml)
PORT   ?= 5000
# As in src/frostline/environment.py, for what make starts itself: MLflow asks nobody, DVC neither, and threads hardly spin.
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true
ifeq ($(OMP_WAIT_POLICY)$(GOMP_SPINCOUNT),)
export OMP_WAIT_POLICY := passive
export GOMP_SPINCOUNT := 6000
endif
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup repro test proofs test-cluster ui lint bench catalogue lock help clean
.DEFAULT_GOAL := help

setup: $(READY)  ## set up the environment, and nothing else
	@echo "Ready: source $(BIN)/activate, then frostline --help"

repro: $(READY)  ## reproduce a study (STUDY=quickstart) and print its comparison
	frostline study check experiments/$(STUDY)
	dvc repro $(PIPE):prepare
	frostline train --study experiments/$(STUDY)  # ahead, in warm processes; dvc then takes what is finished
	dvc repro $(PIPE)
	frostline compare --table experiments/$(STUDY)

test: $(READY)  ## the tests, but the proofs
	OMP_NUM_THREADS=1 pytest -n $(shell getconf _NPROCESSORS_ONLN) --dist loadfile

proofs: $(READY)  ## the tests that take minutes
	@command -v chromium >/dev/null || echo "No chromium: what looks at pages is skipped (Debian: apt-get install chromium)"
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || \
	  echo "No PostgreSQL: what a shared store does is skipped (Debian: apt-get install postgresql)"
	OMP_NUM_THREADS=1 pytest -n $(shell getconf _NPROCESSORS_ONLN) -m slow

test-cluster: $(READY)  ## the tests on a SLURM of their own, brought up in a temporary folder
	@command -v sbatch >/dev/null || echo "No SLURM: all are skipped (Debian: apt-get install munge slurmctld slurmd slurm-client)"
	OMP_NUM_THREADS=1 pytest -m cluster tests/cluster

ui: $(READY)  ## the local runs in MLflow, on http://127.0.0.1:5000 (PORT=5000)
	mkdir -p runs/mlflow
	@echo "Choose 'Model training' at the left of the page, which MLflow remembers."
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --host 127.0.0.1 --port $(PORT) --workers 1 \
	  --backend-store-uri sqlite:///runs/mlflow/mlflow.db \
	  --default-artifact-root runs/mlflow/artifacts

lint: $(READY)  ## style, types, the direction of imports, and every dvc.yaml
	ruff check . && ruff format --check . && mypy && lint-imports && frostline study check

bench: $(READY)  ## measure every figure that the project claims (ONLY=name for one)
	python -m benchmarks $(ONLY)

catalogue: $(READY)  ## find anew what `frostline models` says of conf/backbone/, as after another timm (some minutes)
	python -m frostline.runs.anatomy

lock: $(READY)  ## compile requirements.lock anew from pyproject.toml
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
	  --group dev pyproject.toml --output-file requirements.lock

clean:  ## remove the environment and everything that runs have made
	rm -rf .venv runs .dvc/cache .dvc/tmp

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

# The stamp is older than the lock or the project file only if those changed: a second call sets nothing up again.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Frostline needs Python 3.11 to 3.13, and $(PYTHON) is $$($(PYTHON) --version): set PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@# Compiled once here: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each start would compile anew.
	uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(READY)
