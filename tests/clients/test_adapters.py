"""What all adapters have in common. Runs in both environments, for the packages that each has."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.metadata
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import ecs_role_creds
from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer

FOLDER = Path(ecs_role_creds.__file__).parent / "adapters"

# The adapter is named after the package it imports; the extra brings that.
EXTRAS = {
    "aiobotocore": "s3fs",
    "alibabacloud_credentials": "credentials",
    "alibabacloud_oss_v2": "oss-v2",
    "alibabacloud_tea_openapi": "tea-openapi",
    "aliyunsdkcore": "sdk-core",
    "botocore": "boto3",
    "obstore": "obstore",
    "oss2": "oss2",
    "ossfs": "ossfs",
    "polars": "polars",
}
BUILDERS = {
    "aiobotocore": ["session"],
    "alibabacloud_credentials": ["CredentialsProvider"],
    "alibabacloud_oss_v2": ["OssCredentialsProvider", "config", "async_client"],
    "alibabacloud_tea_openapi": ["config"],
    "aliyunsdkcore": ["credential"],
    "botocore": ["credentials", "session"],
    "obstore": ["credential_provider", "async_credential_provider"],
    "oss2": ["OssCredentialsProvider", "Session"],
    "ossfs": ["filesystem", "OSSFileSystem", "AioOSSFileSystem"],
    "polars": ["credential_provider"],
}
# botocore alone is in the environment of s3fs too; its examples use boto3.
INSTALLED = [name for name in EXTRAS if find_spec({"botocore": "boto3"}.get(name, name))]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*considered unstable"),
]


def adapter(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"ecs_role_creds.adapters.{name}")


def test_every_adapter_is_known() -> None:
    found = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    assert found - {"generic"} == set(EXTRAS) == set(BUILDERS)


@pytest.mark.parametrize("name", INSTALLED)
def test_docstring_examples_run(name: str, ecs_metadata: FakeMetadataServer) -> None:
    module = adapter(name)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    fixture = {"ecs_metadata": ecs_metadata}
    done = doctest.testmod(module, optionflags=flags, extraglobs=fixture)
    assert done.attempted > 0
    assert done.failed == 0


@pytest.mark.parametrize("name", EXTRAS)
def test_missing_package_is_named_with_its_extra(name: str) -> None:
    code = (
        f"import sys; sys.modules[{name!r}] = None\n"
        f"try: import ecs_role_creds.adapters.{name}\n"
        f"except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert f"pip install 'ecs-role-creds[{EXTRAS[name]}]'" in done.stdout


@pytest.mark.parametrize("extra", EXTRAS.values())
def test_each_extra_exists(extra: str) -> None:
    assert extra in importlib.metadata.metadata("ecs-role-creds").get_all("Provides-Extra", [])


@pytest.mark.parametrize(
    ("name", "builder"),
    [(name, builder) for name in INSTALLED for builder in BUILDERS[name]],
)
def test_wrong_provider_is_refused_when_it_is_passed(
    name: str, builder: str, provider: EcsRamRoleCredentialsProvider
) -> None:
    build = getattr(adapter(name), builder)
    wrong: list[tuple[object, str]] = [
        ("LTAI-FAKE", "an object of type str"),
        (EcsRamRoleCredentialsProvider, "the class EcsRamRoleCredentialsProvider"),
        (provider.get_credentials(), "an object of type Credentials"),
    ]
    for given, told in wrong:
        with pytest.raises(TypeError, match=rf"provider is {told}; pass an EcsRamRole"):
            build(given)


@pytest.mark.parametrize(
    ("name", "builder"),
    [(name, builder) for name in INSTALLED for builder in BUILDERS[name]],
)
def test_no_text_form_shows_a_secret(
    name: str, builder: str, provider: EcsRamRoleCredentialsProvider
) -> None:
    built = getattr(adapter(name), builder)(provider)
    secrets = provider.get_credentials()
    shown = f"{built} {built!r} {getattr(built, '__dict__', '')}"
    assert secrets.access_key_secret not in shown
    assert secrets.security_token not in shown


def test_generic_shapes_take_providers_only() -> None:
    from ecs_role_creds.adapters import generic

    with pytest.raises(TypeError, match="provider is an object of type str"):
        generic.credentials_tuple("LTAI-FAKE")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_adapters_are_thin(path: Path) -> None:
    """Fewer than 80 lines that are no docstring, comment or blank."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    code = {node.lineno for node in ast.walk(tree) if hasattr(node, "lineno")}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                code -= set(range(first.lineno, (first.end_lineno or 0) + 1))
    assert len(code) < 80


def test_default_provider_is_used_where_none_is_given(ecs_metadata: FakeMetadataServer) -> None:
    got = adapter("oss2").OssCredentialsProvider().get_credentials()
    assert isinstance(got, Credentials)
    assert ecs_metadata.is_valid(got)
