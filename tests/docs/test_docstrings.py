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
from ecs_role_creds import errors, testing
from ecs_role_creds.testing import FakeMetadataServer

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FINDER = doctest.DocTestFinder(exclude_empty=True)

CLASSES = [ecs_role_creds.Credentials, ecs_role_creds.EcsRamRoleCredentialsProvider]


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
    # In an example, the name of the fixture stands for the fixture, as in a test.
    example.globs["ecs_metadata"] = ecs_metadata
    outcome = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)
    assert outcome.failed == 0, "".join(said)


def public() -> Iterator[tuple[str, object]]:
    for module in (ecs_role_creds, errors, testing):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{module.__name__}.{name}", value
    for holder in CLASSES:
        for name, value in vars(holder).items():
            if inspect.isfunction(value) and not name.startswith("_"):
                yield f"{holder.__name__}.{name}", value


@pytest.mark.parametrize(("name", "value"), [pytest.param(*one, id=one[0]) for one in public()])
def test_every_public_name_has_an_example(name: str, value: object) -> None:
    assert ">>> " in (value.__doc__ or ""), f"{name} has no example"
