"""What is published: wheel and sdist, and the README's quick start in a bare environment."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

import pytest

from ecs_role_creds.testing import FakeMetadataServer

pytest.importorskip("build", reason="needs build")
pytest.importorskip("hatchling", reason="needs hatchling")
pytest.importorskip("twine", reason="needs twine")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]


class Built(NamedTuple):
    """The files that are published."""

    wheel: Path
    sdist: Path


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(one) for one in command],
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built in this environment, the wheel from the sdist: so nothing is missing in that."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, sdist)


def package_files() -> set[str]:
    files = (ROOT / "ecs_role_creds").rglob("*")
    return {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_metadata_is_well_formed(built: Built) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", built.wheel, built.sdist)


def test_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    assert {name for name in names if ".dist-info/" not in name} == package_files()
    assert "ecs_role_creds/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_wheel_names_its_scripts_and_its_pythons(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
        metadata = HeaderParser().parsestr(wheel.read(f"{info}/METADATA").decode())
        entry_points = configparser.ConfigParser()
        entry_points.read_string(wheel.read(f"{info}/entry_points.txt").decode())
    assert dict(entry_points["console_scripts"]) == {"ecs-role-creds": "ecs_role_creds.cli:main"}
    assert "ecs_role_creds" in entry_points["pytest11"]
    assert metadata["Requires-Python"] == ">=3.10"
    needed = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert sorted(re.split(r"[<>=~ ]", one)[0] for one in needed) == ["cachetools", "requests"]


def test_sdist_holds_what_is_needed_to_test_it(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert package_files() <= names
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "Makefile", "noxfile.py"):
        assert name in names
    assert "tests/packaging/test_package.py" in names
    assert "docs/index.md" in names


def quick_start() -> str:
    """The README's samples that run as they are, under its heading."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Quick start\n")[2].partition("\n## ")[0]
    samples = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert samples, "the README's quick start has no sample that runs"
    return "\n".join(samples)


def test_quick_start_runs_in_a_bare_environment(
    built: Built, tmp_path: Path, ecs_metadata: FakeMetadataServer
) -> None:
    bare = tmp_path / "bare"
    run(sys.executable, "-m", "venv", "--without-pip", bare)
    python = bare / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", built.wheel)
    sample = tmp_path / "sample.py"
    sample.write_text(quick_start(), encoding="utf-8")
    # Isolated: neither this checkout nor the user's packages are found.
    output = run(python, "-I", sample, env=dict(os.environ))
    assert ecs_metadata.issued[0].access_key_id in output
    where = run(python, "-I", "-c", "import ecs_role_creds; print(ecs_role_creds.__file__)")
    assert Path(where.strip()).is_relative_to(bare)
    assert "fake-metadata" in run(bare / "bin" / "ecs-role-creds", "--help")
