"""Every public name is on a page of the reference, from its docstring."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PACKAGE = Path(__file__).parents[2] / "ecs_role_creds"

_DIRECTIVE = re.compile(
    r"^\.\. (currentmodule|automodule|autoclass|autofunction|autodata):: ([\w.]+)", re.MULTILINE
)


def public_names(module: str) -> list[str]:
    """The module's ``__all__``, without importing it: some need packages that are not installed."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise AssertionError(f"{path} has no __all__")


def documented() -> set[str]:
    """The full names of what the reference documents."""
    found: set[str] = set()
    for page in REFERENCE.glob("*.md"):
        module = ""
        for directive, name in _DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            if directive == "currentmodule":
                module = name
            elif directive == "automodule":
                module = name
                found |= {f"{name}.{one}" for one in public_names(name)}
            else:
                found.add(name if name.startswith("ecs_role_creds.") else f"{module}.{name}")
    return found


def public_modules() -> list[str]:
    adapters = sorted(PACKAGE.glob("adapters/[!_]*.py"))
    return [
        "ecs_role_creds",
        "ecs_role_creds.errors",
        "ecs_role_creds.testing",
        *(f"ecs_role_creds.adapters.{path.stem}" for path in adapters),
    ]


@pytest.mark.parametrize("module", public_modules())
def test_public_names_are_documented(module: str) -> None:
    public = {
        f"{module}.{name}"
        for name in public_names(module)
        if not name.startswith("__") and name not in ("errors", "CredentialsError")
    }
    assert sorted(public - documented()) == [], f"add them to a page of {REFERENCE}"
