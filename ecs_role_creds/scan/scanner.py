"""Scans texts with detect-secrets and the detectors of this package.

Needs ``pip install 'ecs-role-creds[scan]'``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from detect_secrets.core import baseline
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.exceptions import UnableToReadBaselineError
from detect_secrets.settings import transient_settings

from ecs_role_creds.scan.detector import DETECTORS
from ecs_role_creds.scan.patterns import may_hold_keys
from ecs_role_creds.scan.sources import Text

_ALLOWLIST = "detect_secrets.filters.allowlist.is_line_allowlisted"
_EXCLUDED_FILES = "detect_secrets.filters.regex.should_exclude_file"
_EXCLUDED_LINES = "detect_secrets.filters.regex.should_exclude_line"
# Texts of a repository's history are in no file.
_NO_SUCH_FILE = "detect_secrets.filters.common.is_invalid_file"
# Made for strings of high entropy: they drop `Auth("id", "secret")` and `access_key_id = ...`.
_GUESSES = "detect_secrets.filters.heuristic."


class Finding(NamedTuple):
    """A part of an AccessKey pair, without it.

    Attributes:
        path: The file.
        line: The line's number.
        kind: Which part, such as ``Alibaba Cloud AccessKey id``.
        blob: The git object it was found in; ``None``: in the file as it is now.
    """

    path: str
    line: int
    kind: str
    blob: str | None = None


class BaselineError(Exception):
    """A baseline cannot be read; says why and what to do."""


class Exclusions(NamedTuple):
    """What is not reported.

    Attributes:
        files: Regular expressions of paths.
        lines: Regular expressions of lines.
        baseline: The file with findings that are known; its own exclusions count too.
    """

    files: Sequence[str] = ()
    lines: Sequence[str] = ()
    baseline: Path | None = None


def scan(texts: Iterable[Text], exclusions: Exclusions) -> list[Finding]:
    """The parts of AccessKey pairs in the texts, each once a file.

    Raises:
        BaselineError: The baseline cannot be read.
    """
    known = _load_baseline(exclusions.baseline)
    found: dict[tuple[str, str, str], Finding] = {}
    with _settings(exclusions, known):
        old = SecretsCollection.load_from_baseline(known) if known else SecretsCollection()
        for text in texts:
            for _, secret in _scan_one(text) - old:
                # Versions come newest first: the one that is kept is the oldest.
                key = (text.path, secret.type, secret.secret_hash)
                found[key] = Finding(text.path, secret.line_number, secret.type, text.blob)
    return sorted(found.values(), key=lambda one: one[:3])


def write_baseline(texts: Iterable[Text], exclusions: Exclusions, path: Path) -> int:
    """Write all findings to a baseline in detect-secrets' format; returns how many there are.

    Raises:
        OSError: It cannot be written.
    """
    with _settings(exclusions, {}):
        all_found = SecretsCollection()
        for text in texts:
            for name, secret in _scan_one(text):
                all_found[name].add(secret)
        content = baseline.format_for_output(all_found)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return sum(1 for _ in all_found)


def _scan_one(text: Text) -> SecretsCollection:
    found = SecretsCollection()
    if may_hold_keys(text.content):
        found.scan_diff(as_diff(text.path, text.content))
    return found


def as_diff(path: str, content: str) -> str:
    """The diff that adds a file.

    detect-secrets scans the lines of a diff as they are. From files it drops what it cannot decode,
    and the comments of YAML and INI.
    """
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    name = path.replace("\n", "?").replace("\t", "?")
    head = f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n"
    return head + "".join(f"+{line}\n" for line in lines)


@contextmanager
def _settings(exclusions: Exclusions, known: Mapping[str, Any]) -> Iterator[None]:
    """detect-secrets' settings for this scan; it keeps them in the process."""
    filters: list[dict[str, Any]] = [{"path": _ALLOWLIST}]
    if exclusions.files:
        filters.append({"path": _EXCLUDED_FILES, "pattern": list(exclusions.files)})
    if exclusions.lines:
        filters.append({"path": _EXCLUDED_LINES, "pattern": list(exclusions.lines)})
    present = {one["path"] for one in filters}
    filters += [
        one
        for one in known.get("filters_used", ())
        if one["path"] not in present and not one["path"].startswith(_GUESSES)
    ]
    # By name, not by this file's path: a baseline is to work on other machines.
    detectors: dict[str, Any] = get_mapping_from_secret_type_to_class()
    detectors.update({str(detector.secret_type): detector for detector in DETECTORS})
    plugins = [{"name": detector.__name__} for detector in DETECTORS]
    with transient_settings({"plugins_used": plugins, "filters_used": filters}) as settings:
        settings.disable_filters(_NO_SUCH_FILE)
        yield


def _load_baseline(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = baseline.upgrade(baseline.load_from_file(str(path)))
        SecretsCollection.load_from_baseline(content)
    except (UnableToReadBaselineError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BaselineError(
            f"{path} is no baseline that detect-secrets can read. Write a new one with "
            "--write-baseline."
        ) from error
    return content
