"""Arguments, output and exit status of ``doctor``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ecs_role_creds.cli.output import Color, Paint, wants_color
from ecs_role_creds.cli.provider_options import tell

if TYPE_CHECKING:
    from ecs_role_creds.cli.doctor.observations import Finding
    from ecs_role_creds.cli.doctor.observe import Surroundings

_PACKAGES = (
    *("requests", "urllib3", "cachetools", "oss2", "alibabacloud-oss-v2"),
    *("alibabacloud-credentials", "alibabacloud-tea-openapi", "gevent"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Find out whether a process here can fetch the instance RAM role's credentials, and if "
        "not, why and what to do. Also checks for what makes other SDKs use other credentials: "
        "environment variables, proxies, and AccessKey pairs in configuration files.\n\n"
        "Sends a few requests to the metadata service, one of them in the normal mode (IMDSv1) "
        "unless ALIBABA_CLOUD_IMDSV1_DISABLED is true. Prints no secret. Exit status: 0 if the "
        "credentials can be fetched, 1 if not, 2 for wrong arguments or if the report cannot be "
        "written."
    )
    parser.epilog = (
        "Examples:\n"
        "  $ ecs-role-creds doctor\n"
        "  $ ecs-role-creds doctor --bucket example-bucket \\\n"
        "      --endpoint https://oss-cn-hangzhou-internal.aliyuncs.com --region cn-hangzhou\n"
        "  $ ecs-role-creds doctor --report report.json    # to attach to a bug report\n"
    )
    parser.add_argument("--role", help="the RAM role that the instance must have (default: any)")
    parser.add_argument(
        "--bucket",
        help="send a signed request to OSS that lists this bucket; needs: pip install "
        "'ecs-role-creds[oss2]'",
    )
    parser.add_argument(
        "--endpoint", help="the OSS endpoint, such as https://oss-cn-hangzhou.aliyuncs.com"
    )
    parser.add_argument(
        "--region", help="the region, such as cn-hangzhou: sign with V4 (default: with V1)"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write a report for a maintainer to this file, without secrets and account numbers",
    )
    parser.set_defaults(run=lambda arguments: run(arguments, parser))


def run(
    arguments: argparse.Namespace,
    parser: argparse.ArgumentParser,
    around: Surroundings | None = None,
    out: TextIO | None = None,
) -> int:
    """Observe, run the checks and print the findings; returns the exit status."""
    from ecs_role_creds.cli.doctor.bucket import ask_oss
    from ecs_role_creds.cli.doctor.checks import run_checks
    from ecs_role_creds.cli.doctor.observations import Fetched
    from ecs_role_creds.cli.doctor.observe import Surroundings, observe

    if bool(arguments.bucket) != bool(arguments.endpoint):
        parser.error("pass --bucket and --endpoint together, or neither")
    if arguments.region and not arguments.bucket:
        parser.error("--region needs --bucket and --endpoint")
    around = Surroundings(os.environ, Path.home()) if around is None else around
    stream: TextIO = sys.stdout if out is None else out
    seen, credentials = observe(around, arguments.role)
    if arguments.bucket:
        answer = ask_oss(credentials, arguments.bucket, arguments.endpoint, arguments.region)
        seen = seen._replace(bucket=answer)
    findings = run_checks(seen)
    is_well = isinstance(seen.fetched, Fetched)
    if arguments.json:
        _print_json(findings, is_well, stream)
    else:
        _print_findings(findings, is_well, stream, around.environ)
    if arguments.report:
        from ecs_role_creds.cli.doctor.report import build_report

        report = build_report(seen, findings, _versions(), around.wall_clock())
        try:
            _write_json(arguments.report, report)
        except OSError as error:
            tell(
                "doctor",
                f"cannot write the report to {arguments.report}: {error.strerror}. Name a file in "
                "a folder that exists and that this user can write to.",
            )
            return 2
        tell("doctor", f"report written to {arguments.report}. Read it before you share it.")
    return 0 if is_well else 1


_RESULTS: dict[str, tuple[str, Color]] = {
    "ok": ("ok", "green"),
    "note": ("note", "blue"),
    "warning": ("warning", "yellow"),
    "failed": ("FAILED", "red"),
    "skipped": ("skipped", "dim"),
}
_WIDTH = 100
_RESULT_WIDTH, _NAME_WIDTH = 9, 19


def _print_findings(
    findings: Sequence[tuple[str, Finding]], is_well: bool, out: TextIO, environ: Mapping[str, str]
) -> None:
    import shutil

    paint = Paint(wants_color(out, environ))
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 0)).columns)
    for name, finding in findings:
        result, color = _RESULTS[finding.result]
        first, *rest = _wrap(finding, max(30, width - _RESULT_WIDTH - _NAME_WIDTH))
        print(paint(result.ljust(_RESULT_WIDTH), color) + name.ljust(_NAME_WIDTH) + first, file=out)
        for line in rest:
            print(" " * (_RESULT_WIDTH + _NAME_WIDTH) + line, file=out)
    verdict = (
        paint("Credentials can be fetched.", "green", "bold")
        if is_well
        else paint("Credentials cannot be fetched.", "red", "bold")
    )
    print(f"\n{verdict}", file=out)


def _wrap(finding: Finding, width: int) -> list[str]:
    """Wrap the reason, and the advice after an arrow. No word is broken: it may be a command."""
    import textwrap

    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    lines = wrapper.wrap(finding.reason)
    wrapper.initial_indent, wrapper.subsequent_indent = "-> ", "   "
    return lines + wrapper.wrap(finding.advice)


def _print_json(findings: Sequence[tuple[str, Finding]], is_well: bool, out: TextIO) -> None:
    import json

    shown = [{"check": name, **finding._asdict()} for name, finding in findings]
    print(json.dumps({"credentials": is_well, "findings": shown}, indent=2), file=out)


def _write_json(path: Path, report: Mapping[str, Any]) -> None:
    import json

    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    import contextlib
    import platform
    from importlib import metadata

    from ecs_role_creds import __version__

    versions = {
        "ecs-role-creds": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
