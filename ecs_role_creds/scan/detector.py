"""Detectors of Alibaba Cloud's AccessKey pairs for detect-secrets.

``scanner`` uses them; detect-secrets itself takes this file as a plugin:
``detect-secrets scan -p .../ecs_role_creds/scan/detector.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.util.code_snippet import CodeSnippet

from ecs_role_creds.scan.patterns import Kind, Match, find_keys


class _AccessKeyDetector(BasePlugin):
    """Finds one part of AccessKey pairs, with the lines around it as its evidence."""

    kind: Kind

    def analyze_line(
        self,
        filename: str,
        line: str,
        line_number: int = 0,
        context: CodeSnippet | None = None,
        **_: Any,
    ) -> set[PotentialSecret]:
        above: list[str] = []
        below: list[str] = []
        if context is not None:
            above = context.lines[: context.target_index]
            below = context.lines[context.target_index + 1 :]
        return {
            PotentialSecret(self.secret_type, filename, match.value, line_number)
            for match in self._only_kind(find_keys(line, above, below))
        }

    def analyze_string(self, string: str) -> Iterator[str]:  # type: ignore[override]
        return (match.value for match in self._only_kind(find_keys(string)))

    def _only_kind(self, matches: Iterator[Match]) -> Iterator[Match]:
        return (match for match in matches if match.kind == self.kind)


# detect-secrets reads secret_type from the class, which it declares a property.
class AlibabaCloudAccessKeyIdDetector(_AccessKeyDetector):
    """Finds AccessKey ids."""

    secret_type = "Alibaba Cloud AccessKey id"  # noqa: S105  # pyright: ignore
    kind = "AccessKey id"


class AlibabaCloudAccessKeySecretDetector(_AccessKeyDetector):
    """Finds AccessKey secrets."""

    secret_type = "Alibaba Cloud AccessKey secret"  # noqa: S105  # pyright: ignore
    kind = "AccessKey secret"


DETECTORS = (AlibabaCloudAccessKeyIdDetector, AlibabaCloudAccessKeySecretDetector)
