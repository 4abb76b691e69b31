"""``ecs-role-creds scan``: find AccessKey pairs in source code and configuration files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecs_role_creds.cli.packages import needs
from ecs_role_creds.cli.provider_options import tell

if TYPE_CHECKING:
    from ecs_role_creds.scan.scanner import Finding
    from ecs_role_creds.scan.sources import Text


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Find AccessKey ids and secrets in source code, configuration files and notebooks. Prints "
        "file, line and kind, never the key. Uses detect-secrets: its baselines and its comments "
        "(pragma: allowlist secret) work here. Exit status: 0 if nothing was found, 1 if "
        "something was found, 2 if the scan failed. Needs: pip install 'ecs-role-creds[scan]'"
    )
    parser.epilog = (
        "Examples:\n"
        "  $ ecs-role-creds scan\n"
        "  $ ecs-role-creds scan --history src\n"
        "  $ ecs-role-creds scan --write-baseline .secrets.baseline\n"
        "  $ ecs-role-creds scan --baseline .secrets.baseline\n"
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="files and folders to scan (default: .)"
    )
    parser.add_argument(
        "--history",
        action="store_true",
        help="scan every version of every file in the git history, on all branches and tags",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="also scan folders that are skipped by default, such as .venv and .git",
    )
    parser.add_argument(
        "--exclude-files",
        action="append",
        type=_regex,
        default=[],
        metavar="REGEX",
        help="skip paths that match; may be repeated",
    )
    parser.add_argument(
        "--exclude-lines",
        action="append",
        type=_regex,
        default=[],
        metavar="REGEX",
        help="skip lines that match; may be repeated",
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="do not report findings that are in this baseline",
    )
    parser.add_argument(
        "--write-baseline",
        type=Path,
        metavar="FILE",
        help="write all findings to a baseline, and report nothing",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scan; returns the exit status."""
    try:
        from ecs_role_creds.scan import scanner
    except ImportError as error:
        tell("scan", needs("this command", error, "scan"))
        return 2
    from ecs_role_creds.scan.sources import HistoryError

    paths = arguments.paths or ["."]
    exclusions = scanner.Exclusions(
        arguments.exclude_files, arguments.exclude_lines, arguments.baseline
    )
    texts = _history(paths) if arguments.history else _files(paths, arguments.all)
    try:
        if arguments.write_baseline:
            count = scanner.write_baseline(texts, exclusions, arguments.write_baseline)
            print(f"{arguments.write_baseline}: {count} findings", file=sys.stderr)
            return 0
        found = [_describe(one, paths) for one in scanner.scan(texts, exclusions)]
    except (HistoryError, scanner.BaselineError, OSError) as error:
        tell("scan", str(error))
        return 2
    _print(found, arguments.json)
    return 1 if found else 0


def _regex(text: str) -> str:
    import re

    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a valid regular expression: {error}"
        ) from error
    return text


def _files(paths: list[str], include_all: bool) -> Iterator[Text]:
    from ecs_role_creds.scan.sources import find_files, read_file

    for path in find_files(paths, include_all):
        try:
            text = read_file(path)
        except OSError as error:
            tell("scan", f"not scanned: {error}")
            continue
        if text is not None:
            yield text


def _history(paths: list[str]) -> Iterator[Text]:
    from ecs_role_creds.scan.sources import is_shallow, read_history

    for path in map(Path, paths):
        if is_shallow(path):
            tell(
                "scan",
                f"the clone at {path} is shallow, so older commits are not scanned. Fetch them "
                "with: git fetch --unshallow",
            )
        yield from read_history(path)


def _describe(finding: Finding, paths: list[str]) -> dict[str, Any]:
    """Return the finding as it is printed; with --history, with the commit that added it."""
    from ecs_role_creds.scan.sources import find_commit

    shown: dict[str, Any] = {"file": finding.path, "line": finding.line, "kind": finding.kind}
    if finding.blob is not None:
        commits = (find_commit(Path(path), finding.blob) for path in paths)
        shown["commit"] = next(filter(None, commits), None)
    return shown


def _print(found: list[dict[str, Any]], as_json: bool) -> None:
    from ecs_role_creds.cli.output import printable

    if as_json:
        import json

        print(json.dumps(found, indent=2))
        return
    for one in found:
        commit = f"{one['commit']} " if one.get("commit") else ""
        print(f"{commit}{printable(one['file'])}:{one['line']}: {one['kind']}")
    if found:
        print(
            f"\n{len(found)} found. Use the instance RAM role instead, delete the pairs in the RAM "
            "console, then remove them from the files. To ignore a line, add the comment: "
            "pragma: allowlist secret",
            file=sys.stderr,
        )
