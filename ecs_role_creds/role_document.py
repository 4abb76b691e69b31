"""Validates the role document, and calculates how long its credentials live. No I/O."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

from ecs_role_creds.clock import Clock
from ecs_role_creds.credentials import Credentials

MAX_LIFE = timedelta(hours=12)
"""The longest session a role can have (documented). It limits the effect of a wrong Date header,
which could make credentials seem to live for decades."""

_MAX_LENGTHS = {"AccessKeyId": 128, "AccessKeySecret": 256, "SecurityToken": 16384}
_VISIBLE = re.compile(r"[\x21-\x7e]+")  # sent in HTTP headers unchanged
_CODE = re.compile(r"[A-Za-z.]+")  # secrets contain other characters too
_EXPIRATION = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z", re.ASCII)


class RoleDocument:
    """The validated parts of a role document. Its ``repr`` shows none of them."""

    __slots__ = ("access_key_id", "access_key_secret", "expiration", "security_token")

    def __init__(self, key_id: str, secret: str, token: str, expiration: datetime) -> None:
        self.access_key_id = key_id
        self.access_key_secret = secret
        self.security_token = token
        self.expiration = expiration

    def credentials(self, role_name: str, expires_at: float, clock: Clock) -> Credentials:
        """Return credentials of a role, which expire at ``expires_at`` on the clock."""
        return Credentials(
            self.access_key_id,
            self.access_key_secret,
            self.security_token,
            self.expiration,
            role_name,
            expires_at=expires_at,
            clock=clock,
        )


def parse_role_document(body: bytes) -> RoleDocument | str:
    """Validate a role document.

    Returns:
        The document; or, if it is not valid, a description of the problem that quotes no secret.
        Nothing is raised, because the frames of an error would contain the secrets.
    """

    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return "no JSON"
    if not isinstance(document, dict):
        return "no JSON object"
    code = document.get("Code")
    if code != "Success":  # the only value documented
        shown = code[:40] if isinstance(code, str) and _CODE.fullmatch(code) else "something else"
        return f"its Code is {shown}, not Success" if "Code" in document else "it has no Code"
    for key, most in _MAX_LENGTHS.items():
        value = document.get(key)
        if not isinstance(value, str):
            return f"it has no {key}"
        if not 1 <= len(value) <= most or not _VISIBLE.fullmatch(value):
            return f"its {key} is empty, too long, or contains an invalid character"
    expiration = _parse_expiration(document.get("Expiration"))
    if expiration is None:
        return "its Expiration is not a time of the form 2024-11-08T09:44:50Z"
    # LastUpdated is not read: it may be missing or wrong (seen in the documentation).
    return RoleDocument(
        document["AccessKeyId"],
        document["AccessKeySecret"],
        document["SecurityToken"],
        expiration,
    )


def remaining_life(
    expiration: datetime, service_time: datetime | None, wall_clock: datetime
) -> timedelta:
    """The minimum life of credentials, counted from when their request was sent.

    Args:
        expiration: When the credentials expire.
        service_time: The service's time, in whole seconds. Used if it is known, because the
            instance's clock may be wrong; one second is subtracted for the unknown fraction.
        wall_clock: The instance's time of day.
    """
    if service_time is None:
        life = expiration - wall_clock
    else:
        life = expiration - service_time - timedelta(seconds=1)
    return min(life, MAX_LIFE)


def _parse_expiration(value: object) -> datetime | None:
    match = _EXPIRATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
