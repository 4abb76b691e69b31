"""The documentation's samples run, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from ecs_role_creds.testing import FakeMetadataServer

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Fence(NamedTuple):
    """A block of code in a page: its tag, its text, and the line it begins at."""

    tag: str
    code: str
    line: int


def fences(page: Path, tag: str) -> list[Fence]:
    text = page.read_text(encoding="utf-8")
    found = [
        Fence(match[1].strip(), match[2], text.count("\n", 0, match.start(2)) + 1)
        for match in _FENCE.finditer(text)
    ]
    return [fence for fence in found if fence.tag == tag]


def pages_with(tag: str) -> list[object]:
    # The samples of a translated README are those of README.md, which tests/docs compares.
    pages = [
        page for page in PAGES if not page.name.startswith("README.") or page.name == "README.md"
    ]
    return [pytest.param(page, id=name(page)) for page in pages if fences(page, tag)]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The names that headings can be linked to by."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


# The SDKs in the samples warn of their own code.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", pages_with("python"))
def test_samples_run(
    page: Path,
    ecs_metadata: FakeMetadataServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for fence in fences(page, "python"):
        # The empty lines make a traceback tell the page's own line.
        code = compile("\n" * (fence.line - 1) + fence.code, str(page), "exec")
        exec(code, namespace)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("python test"))
def test_sample_tests_pass(page: Path, tmp_path: Path) -> None:
    for number, fence in enumerate(fences(page, "python test")):
        named = re.match(r"# (\w+\.py)\n", fence.code)
        file = named[1] if named else f"test_sample_{number}.py"
        (tmp_path / file).write_text(fence.code, encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:randomly"),
            *("-p", "support.patience", "-q", str(tmp_path)),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_every_fence_has_a_known_tag(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^```", text, re.MULTILINE)) % 2 == 0, "a fence is not closed"
    for match in _FENCE.finditer(text):
        if match[1].startswith("py"):
            assert match[1] in ("python", "python test", "python no-run")
            compile(match[2], str(page), "exec")


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []
