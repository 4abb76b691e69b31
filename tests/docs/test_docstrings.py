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


def test_every_public_name_has_an_example() -> None:
    without = []
    for name in ecs_role_creds.__all__:
        value = getattr(ecs_role_creds, name)
        is_error = inspect.isclass(value) and issubclass(value, errors.CredentialsError)
        if callable(value) and not is_error and ">>> " not in (value.__doc__ or ""):
            without.append(name)
    assert without == []


@pytest.mark.parametrize("owner", [ecs_role_creds.EcsRamRoleCredentialsProvider])
def test_every_public_method_has_an_example(owner: type) -> None:
    # The same under the names that other SDKs call, and the opposite of start_polling().
    left_out = {"get_credential", "get_credential_async", "get_provider_name", "stop_polling"}
    methods = {
        name: value
        for name, value in vars(owner).items()
        if callable(value) and not name.startswith("_") and name not in left_out
    }
    assert [name for name, value in methods.items() if ">>> " not in value.__doc__] == []
