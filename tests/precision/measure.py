"""Scans ten large packages of the package index and tells how precise ``scan`` is.

Writes docs/scan-precision.md: ``make scan-precision``.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.scan_corpus import plant

from ecs_role_creds.scan.scanner import Exclusions, Finding, scan
from ecs_role_creds.scan.sources import Text, find_files, read_file

PAGE = Path(__file__).parents[2] / "docs/scan-precision.md"

PACKAGES = (
    # of this cloud: keys are named on every page
    *("alibabacloud-ecs20140526", "aliyun-log-python-sdk", "pyodps", "oss2"),
    # large sources, test data and configuration of all kinds
    *("ansible-core", "apache-airflow-core", "botocore", "django", "sympy", "plotly"),
)
SEEDS = 20


class Package(NamedTuple):
    """What was found in a package.

    Attributes:
        name: Its file's name, which has the version.
        lines: How many lines of text it has.
        seconds: How long it took.
        findings: What was found.
    """

    name: str
    lines: int
    seconds: float
    findings: list[Finding]


def unpack(package: str, folder: Path) -> tuple[str, Path]:
    """Download a package's source, or its wheel where it has none, and unpack it."""
    archives = folder / "archives" / package
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", archives]
    # No source is built: its own build system would run.
    source = subprocess.run(
        [*pip, "--no-binary", ":all:", "--no-build-isolation", package],
        capture_output=True,
        check=False,
    )
    if source.returncode != 0 or not list(archives.glob("*")):
        subprocess.run([*pip, package], check=True)
    (archive,) = archives.iterdir()
    target = folder / package
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)
    else:
        with tarfile.open(archive) as sdist:
            sdist.extractall(target, filter="data")
    return archive.name, target


def measure(package: str, folder: Path) -> Package:
    """Scan a package."""
    name, target = unpack(package, folder)
    found = (read_file(path) for path in find_files([str(target)], include_all=True))
    texts = [Text(str(Path(text.path).relative_to(target)), text.content) for text in found if text]
    begun = time.perf_counter()
    findings = scan(texts, Exclusions())
    seconds = time.perf_counter() - begun
    return Package(name, sum(text.content.count("\n") for text in texts), seconds, findings)


def measure_recall() -> tuple[int, int]:
    """How many parts of pairs were planted in the corpus, and how many of them were found."""
    planted = found = 0
    for seed in range(SEEDS):
        for one in plant(seed):
            findings = scan([Text(one.name, one.content)], Exclusions())
            kinds = {
                (finding.line, finding.kind.removeprefix("Alibaba Cloud ")) for finding in findings
            }
            planted += len(one.expected)
            found += len(one.expected & kinds)
    return planted, found


def write_page(packages: list[Package], planted: int, found: int) -> None:
    """The figures, for people."""
    lines = sum(one.lines for one in packages)
    alarms = sum(len(one.findings) for one in packages)
    rows = "\n".join(
        f"| `{one.name}` | {one.lines:,} | {len(one.findings)} | {one.seconds:.1f} s |"
        for one in packages
    )
    listed = "\n".join(
        f"- {one.name}: {finding.path}:{finding.line}: {finding.kind}"
        for one in packages
        for finding in one.findings
    )
    share = alarms / lines * 100_000
    PAGE.write_text(
        f"""# How precise scan is

Made by `make scan-precision`.

**Found:** {found} of {planted} parts of AccessKey pairs that were planted, in {SEEDS} drawings
of the files in `tests/support/planted_pairs`: INI, YAML, JSON, TOML, XML, Python, Java,
JavaScript, shell, Terraform, Dockerfile, a notebook and Kubernetes manifests.

**False alarms:** {alarms} in {lines:,} lines, which is {share:.2f} per 100,000 lines, in ten
large packages of the package index: their source archives, or their wheels where the source
cannot be fetched without a build.

| package | lines | alarms | time |
|---|---|---|---|
{rows}

{listed or "No alarm."}
""",
        encoding="utf-8",
    )


def main() -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory() as folder:
        packages = [measure(package, Path(folder)) for package in PACKAGES]
    write_page(packages, *measure_recall())
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
