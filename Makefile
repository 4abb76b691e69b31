# Every target makes what it needs: a virtual environment with the declared dependencies.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

# Without bytecode, pytest compiles every test module again in each of its processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-filesystems clients test-all check docs docs-serve docs-screenshots screenshots reference \
	translations stranger soak stress model explore fleet fuzz mutants coverage security scan-precision format bench clean

demo: $(VENV)/demo.stamp
	$(BIN)/ecs-role-creds demo

test: $(VENV)/dev.stamp $(VENV)/awscli.stamp test-filesystems
	$(PYTEST) -m "not soak" -n auto

# On every Python that pyproject.toml claims and this machine has; says which are missing.
test-all: $(VENV)/all-pythons.stamp
	$(BIN)/nox

# ossfs pins another oss2, and s3fs another botocore, than everything else is tested with: they have
# an environment of their own.
FILESYSTEMS := .venv-filesystems

test-filesystems: $(FILESYSTEMS)/filesystems.stamp
	$(FILESYSTEMS)/bin/python -m pytest -n auto tests/clients/filesystems tests/clients/test_adapters.py \
		tests/conformance/oss/test_ossfs.py

$(FILESYSTEMS)/filesystems.stamp: pyproject.toml
	$(PYTHON) -m venv $(FILESYSTEMS)
	$(FILESYSTEMS)/bin/python -m pip install --quiet -e '.[filesystems]'
	touch $@

# The newest release of every client, tested; writes the versions into docs/reference/clients.md.
clients: $(VENV)/dev.stamp $(FILESYSTEMS)/filesystems.stamp
	$(BIN)/python -m pip install --quiet --upgrade $$($(BIN)/python tests/clients/versions.py --names)
	$(FILESYSTEMS)/bin/python -m pip install --quiet --upgrade ossfs s3fs
	$(PYTEST) -n auto tests/clients
	$(MAKE) test-filesystems
	$(BIN)/python tests/clients/versions.py --write

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python tests/docs/check_prose.py

# The site in two languages: English at the root, Chinese in zh-cn/. Needs no network.
SITE := build/docs
TEMPLATES := build/gettext
SPHINX := $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env
# 'strict' fails where a page is not translated or its translation is out of date; 'report' only lists
# it, for the time between a change of the text and its translation.
TRANSLATIONS ?= strict

docs: $(VENV)/docs.stamp
	rm -rf $(SITE) $(TEMPLATES)
	$(SPHINX) --builder html docs $(SITE)
	$(SPHINX) --builder html --define language=zh_CN docs $(SITE)/zh-cn
	$(SPHINX) --builder text docs $(SITE)/_text
	$(SPHINX) --builder gettext docs $(TEMPLATES)
	$(BIN)/python tests/docs/check_site.py $(SITE)
	$(BIN)/python tests/docs/check_catalogues.py $(TEMPLATES) docs/locales/zh_CN/LC_MESSAGES \
		$(if $(filter strict,$(TRANSLATIONS)),,--report-only)

DOCS_PORT ?= 8000

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(SITE) $(DOCS_PORT)

# Pictures to look at after a change to the look of the site. Needs chromium.
docs-screenshots: docs
	$(BIN)/python tests/docs/screenshots.py $(SITE) build/screenshots

# Brings the catalogues up to date with the pages; what changed becomes fuzzy or empty.
translations: $(VENV)/docs.stamp
	rm -rf $(TEMPLATES)
	$(SPHINX) --builder gettext docs $(TEMPLATES)
	$(BIN)/sphinx-intl update --pot-dir $(TEMPLATES) --locale-dir docs/locales --language zh_CN --no-obsolete

# Follows the tutorial word for word in an empty environment, with fakes in place of the cloud.
stranger: $(VENV)/dev.stamp
	PYTHONPATH=tests $(BIN)/python tests/docs/stranger.py

# Longer runs of the same tests.
soak: $(VENV)/dev.stamp
	$(PYTEST) -m soak --timeout=1800 -s

# `make test` RUNS times beside BUSY busy loops: prints how many runs failed, and which tests.
RUNS ?= 10
BUSY ?= 4

stress: $(VENV)/dev.stamp
	$(BIN)/python tests/stress/run.py --runs $(RUNS) --busy $(BUSY)

model: $(VENV)/dev.stamp
	MODEL_EXAMPLES=20000 $(PYTEST) tests/property --timeout=7200

explore: $(VENV)/dev.stamp
	INTERLEAVINGS=200000 $(PYTEST) tests/property/test_interleavings.py -n auto

FUZZ_SECONDS ?= 600

fuzz: $(VENV)/fuzz.stamp
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

# The time mutmut takes is the tests'; fewer courses of the model are enough to notice a mutant.
mutants: $(VENV)/mutation.stamp
	MODEL_EXAMPLES=30 $(BIN)/mutmut run
	$(BIN)/python tests/mutation/report.py

# Coverage's own lock may be held by another thread as a process forks: the child then hangs in it.
FORKS_AMID_THREADS := tests/integration/test_fork.py::test_fork_while_other_threads_use_the_cache

coverage: $(VENV)/dev.stamp $(VENV)/awscli.stamp
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not soak" -p no:randomly --deselect $(FORKS_AMID_THREADS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=97

security: $(VENV)/dev.stamp
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive ecs_role_creds
	$(BIN)/pip-audit --skip-editable

bench: $(VENV)/dev.stamp
	$(BIN)/python tests/benchmarks/run.py

fleet: $(VENV)/dev.stamp
	$(BIN)/python tests/simulation/run.py

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
	rm -rf $(VENV) $(FILESYSTEMS) build dist demo-output mutants .nox .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# demo.stamp has what the extra named demo in pyproject.toml lists, and so on.
$(VENV)/%.stamp: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e '.[$*]'
	touch $@

# The aws command pins another botocore than the tests use. Without it, its test is skipped.
$(VENV)/awscli.stamp: $(VENV)/bin/python
	-$(PYTHON) -m venv $(VENV)/awscli && \
	$(VENV)/awscli/bin/python -m pip install --quiet 'awscli>=1.36' && \
	touch $@
