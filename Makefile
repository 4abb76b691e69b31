# Every target makes what it needs: a virtual environment with the declared dependencies.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test check soak model fuzz mutants coverage security format bench screenshots scan-precision reference clean

demo: $(VENV)/demo.stamp
	$(BIN)/ecs-role-creds demo

test: $(VENV)/dev.stamp
	$(PYTEST) -m "not soak" -n auto

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# Longer runs of the same tests.
soak: $(VENV)/dev.stamp
	$(PYTEST) -m soak --timeout=1800 -s

model: $(VENV)/dev.stamp
	MODEL_EXAMPLES=20000 $(PYTEST) tests/property --timeout=7200

FUZZ_SECONDS ?= 600

fuzz: $(VENV)/fuzz.stamp
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

# The time mutmut takes is the tests'; fewer courses of the model are enough to notice a mutant.
mutants: $(VENV)/mutation.stamp
	MODEL_EXAMPLES=30 $(BIN)/mutmut run
	$(BIN)/python tests/mutation/report.py

# Coverage's own lock may be held by another thread as a process forks: the child then hangs in it.
FORKS_AMID_THREADS := tests/integration/test_fork.py::test_fork_while_other_threads_use_the_cache

coverage: $(VENV)/dev.stamp
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not soak" -p no:randomly --deselect $(FORKS_AMID_THREADS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=97

security: $(VENV)/dev.stamp
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive ecs_role_creds
	$(BIN)/pip-audit --skip-editable

bench: $(VENV)/dev.stamp
	$(BIN)/python tests/benchmarks/run.py

# The pictures of terminals in the documentation.
screenshots: $(VENV)/dev.stamp
	$(BIN)/python docs/tools/screenshots.py

# Scans ten large packages, which it downloads.
scan-precision: $(VENV)/dev.stamp
	$(BIN)/python tests/precision/measure.py

# The page of the command line, from its own help.
reference: $(VENV)/dev.stamp
	$(BIN)/python docs/tools/command_line.py

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist demo-output mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# demo.stamp has what the extra named demo in pyproject.toml lists, and so on.
$(VENV)/%.stamp: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[$*]'
	touch $@
