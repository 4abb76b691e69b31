"""The examples in docstrings run, against the fake metadata service."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import types
from collections.abc import Iterator

import pytest

import ecs_role_creds
from ecs_role_creds import errors
from ecs_role_creds.testing import FakeMetadataServer

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FINDER = doctest.DocTestFinder(exclude_empty=True)


def modules() -> Iterator[types.ModuleType]:
    yield ecs_role_creds
    for info in pkgutil.walk_packages(ecs_role_creds.__path__, "ecs_role_creds."):
        if info.name == "ecs_role_creds.__main__":
            continue
        try:
            yield importlib.import_module(info.name)
        except ImportError:
            # An adapter of a package that is tested in an environment of its own.
            if not info.name.startswith("ecs_role_creds.adapters."):
                raise


def examples() -> list[object]:
    found = [test for module in modules() for test in FINDER.find(module) if test.examples]
    return [pytest.param(test, id=test.name) for test in found]


@pytest.mark.parametrize("example", examples())
def test_examples_run(example: doctest.DocTest, ecs_metadata: FakeMetadataServer) -> None:
    said: list[str] = []
    outcome = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)
    assert outcome.failed == 0, "".join(said)


@pytest.mark.xfail(strict=True, reason="examples are still to be written")
def test_every_public_name_has_an_example() -> None:
    without = []
    for name in ecs_role_creds.__all__:
        value = getattr(ecs_role_creds, name)
        is_error = inspect.isclass(value) and issubclass(value, errors.CredentialsError)
        if callable(value) and not is_error and ">>> " not in (value.__doc__ or ""):
            without.append(name)
    assert without == []
