"""``ecs-role-creds scan``: AccessKey pairs that were left in sources and configuration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecs_role_creds.scan.scanner import Finding
    from ecs_role_creds.scan.sources import Text

INSTALL_HINT = "pip install 'ecs-role-creds[scan]'"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Find AccessKey ids and secrets that were left in sources, configuration and notebooks: "
        "file, line and kind, never the key. Built on detect-secrets: its baselines and its "
        "comments (pragma: allowlist secret) work here. The exit status is 1 if something was "
        f"found, 0 if nothing was. Needs: {INSTALL_HINT}"
    )
    parser.epilog = (
        "Examples:\n"
        "  $ ecs-role-creds scan\n"
        "  $ ecs-role-creds scan --history src\n"
        "  $ ecs-role-creds scan --write-baseline .secrets.baseline\n"
        "  $ ecs-role-creds scan --baseline .secrets.baseline\n"
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files and folders (default: .)")
    parser.add_argument(
        "--history",
        action="store_true",
        help="scan every version of the files in git's history, on all branches and tags",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="walk folders of installed packages and of caches too, such as .venv",
    )
    parser.add_argument(
        "--exclude-files",
        action="append",
        type=_regex,
        default=[],
        metavar="REGEX",
        help="leave out paths that this matches; may be repeated",
    )
    parser.add_argument(
        "--exclude-lines",
        action="append",
        type=_regex,
        default=[],
        metavar="REGEX",
        help="leave out lines that this matches; may be repeated",
    )
    parser.add_argument(
        "--baseline", type=Path, metavar="FILE", help="do not report what this baseline knows"
    )
    parser.add_argument(
        "--write-baseline", type=Path, metavar="FILE", help="write all findings to a baseline"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scan; returns the exit status."""
    try:
        from ecs_role_creds.scan import scanner
    except ImportError as error:
        print(f"ecs-role-creds scan: {error}. Run: {INSTALL_HINT}", file=sys.stderr)
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
        print(f"ecs-role-creds scan: {error}", file=sys.stderr)
        return 2
    _print(found, arguments.json)
    return 1 if found else 0


def _regex(text: str) -> str:
    import re

    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error
    return text


def _files(paths: list[str], include_all: bool) -> Iterator[Text]:
    from ecs_role_creds.scan.sources import find_files, read_file

    for path in find_files(paths, include_all):
        try:
            text = read_file(path)
        except OSError as error:
            print(f"ecs-role-creds scan: not scanned: {error}", file=sys.stderr)
            continue
        if text is not None:
            yield text


def _history(paths: list[str]) -> Iterator[Text]:
    from ecs_role_creds.scan.sources import is_shallow, read_history

    for path in map(Path, paths):
        if is_shallow(path):
            print(
                f"ecs-role-creds scan: the clone at {path} is shallow, so older commits are not "
                "scanned. Fetch them with: git fetch --unshallow",
                file=sys.stderr,
            )
        yield from read_history(path)


def _describe(finding: Finding, paths: list[str]) -> dict[str, Any]:
    """The finding as it is printed; for one of the history, with the commit it came with."""
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
            f"\n{len(found)} found. Use the instance RAM role in their place, delete the pairs in "
            "the RAM console, then remove them from the files. A line that is meant to be so takes "
            "the comment: pragma: allowlist secret",
            file=sys.stderr,
        )
