"""The report for a maintainer, without secrets and account numbers. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ecs_role_creds.cli.doctor.known_places import KEY_VARIABLES
from ecs_role_creds.cli.doctor.observations import Exchange, Finding, Observations
from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.settings import Settings

_RELEVANT = re.compile(
    r"(?:ALIBABA_?CLOUD|ALICLOUD|ALIYUN|OSS|ODPS|ACCESS_KEY|SECURITY_TOKEN|AWS)_?\w*|\w*proxy"
    r"|NO_COLOR|KUBERNETES_SERVICE_HOST|WSL_DISTRO_NAME|container",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(
    r"secret|token|password|passwd|access_?key|\w*_ak|\w*_sk|credential|\w*proxy", re.IGNORECASE
)
_ACCOUNT_NUMBER = re.compile(r"(?<!\d)\d{15,17}(?!\d)")
_ACCESS_KEY_ID = re.compile(r"(?:LTAI|STS\.)[A-Za-z0-9]{4,}")
# Letters of both cases mixed with digits. Better to redact one word too many.
_LONG_TOKEN = re.compile(
    r"(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[A-Z])(?=[A-Za-z0-9+/_-]*[0-9])"
    r"[A-Za-z0-9+/_-]{24,}={0,2}"
)
_INSTANCE_ID = re.compile(r"\bi-[a-z0-9]{15,25}\b")
_SHORTEST_SECRET = 6


def build_report(
    seen: Observations,
    findings: Iterable[tuple[str, Finding]],
    versions: Mapping[str, str],
    written_at: datetime,
) -> dict[str, Any]:
    """Build the report from JSON types, redacted.

    Args:
        seen: The observations.
        findings: The findings, each with the name of the check.
        versions: The versions of Python, the system, the library and related packages.
        written_at: The instance's time of day.
    """
    report = {
        "format": 1,
        "written_at": f"{written_at:%Y-%m-%dT%H:%M:%SZ}",
        "versions": dict(versions),
        "settings": _describe_settings(seen.settings),
        "variables_set": sorted(
            name for name, value in seen.environ.items() if value and _RELEVANT.fullmatch(name)
        ),
        "place": seen.place._asdict(),
        "exchanges": [_describe_exchange(one) for one in seen.exchanges],
        "bucket": None if seen.bucket is None else {**seen.bucket._asdict(), "bucket": "BUCKET"},
        "findings": [{"check": name, **one._asdict()} for name, one in findings],
    }
    bucket = seen.bucket.bucket if seen.bucket else ""
    redacted: dict[str, Any] = _redact_all(report, secrets_of(seen.environ), {bucket: "BUCKET"})
    return redacted


def redact(text: str, secrets: Iterable[str]) -> str:
    """Remove secrets, account numbers and instance ids from a text.

    Args:
        text: Any text.
        secrets: Values to remove. AccessKey ids, long random tokens, account numbers and instance
            ids are removed in any case.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "(secret)")
    text = _ACCESS_KEY_ID.sub("(AccessKey id)", text)
    text = _LONG_TOKEN.sub("(secret)", text)
    text = _ACCOUNT_NUMBER.sub("(account number)", text)
    return _INSTANCE_ID.sub("(instance id)", text)


def secrets_of(environ: Mapping[str, str]) -> set[str]:
    """Return the values in the environment that are, or may contain, secrets."""
    named = {name for variables in KEY_VARIABLES for name in variables.names}
    return {
        value
        for name, value in environ.items()
        if len(value) >= _SHORTEST_SECRET and (name in named or _SECRET_VARIABLE.search(name))
    }


def _redact_all(value: Any, secrets: set[str], replaced: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for old, new in replaced.items():
            value = value.replace(old, new) if old else value
        return redact(value, secrets)
    if isinstance(value, dict):
        return {name: _redact_all(one, secrets, replaced) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact_all(one, secrets, replaced) for one in value]
    return value


def _describe_settings(settings: Settings | CredentialsError) -> dict[str, Any]:
    if isinstance(settings, CredentialsError):
        return {"error": type(settings).__name__}
    return settings._asdict()


def _describe_exchange(exchange: Exchange) -> dict[str, Any]:
    parts = exchange._asdict()
    parts["seconds"] = round(exchange.seconds, 4)
    del parts["role_name"]
    for name in ("date", "answered_at"):
        time = parts[name]
        parts[name] = time and f"{time:%Y-%m-%dT%H:%M:%S.%fZ}"
    return parts
