"""The role document: what is believed of it, and how long its credentials live. Pure functions."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

from ecs_role_creds.clock import Clock
from ecs_role_creds.credentials import Credentials

MAX_LIFE = timedelta(hours=12)
"""The longest session a role can have (documented): a service whose Date is nonsense must not
make credentials seem to live for decades."""

_MAX_LENGTHS = {"AccessKeyId": 128, "AccessKeySecret": 256, "SecurityToken": 16384}
_VISIBLE = re.compile(r"[\x21-\x7e]+")  # goes into HTTP headers as it is
_CODE = re.compile(r"[A-Za-z.]+")  # too poor for a secret
_EXPIRATION = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z", re.ASCII)


class RoleDocument:
    """The parts of a role document that are believed. Shows nothing of them."""

    __slots__ = ("access_key_id", "access_key_secret", "expiration", "security_token")

    def __init__(self, key_id: str, secret: str, token: str, expiration: datetime) -> None:
        self.access_key_id = key_id
        self.access_key_secret = secret
        self.security_token = token
        self.expiration = expiration

    def credentials(self, role_name: str, expires_at: float, clock: Clock) -> Credentials:
        """The document as credentials of a role, ending at a reading of the clock."""
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
    """Read a role document, believing nothing unseen.

    Returns:
        The document; or, where it is not one, what is wrong with it in words that quote none of
        it. Nothing is raised: the frames of a raised error would keep the secrets in view.
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
            return f"its {key} is empty, too long, or holds a character that no key has"
    expiration = _parse_expiration(document.get("Expiration"))
    if expiration is None:
        return "its Expiration is no time of the form 2024-11-08T09:44:50Z"
    # LastUpdated may be missing or nonsense (seen in the documentation): it is not read at all.
    return RoleDocument(
        document["AccessKeyId"],
        document["AccessKeySecret"],
        document["SecurityToken"],
        expiration,
    )


def remaining_life(
    expiration: datetime, service_time: datetime | None, wall_clock: datetime
) -> timedelta:
    """How long credentials live from the moment their request was sent, at the least.

    Args:
        expiration: Theirs.
        service_time: The time of day by the service, to the second. It counts where it is known,
            since the instance's clock may be wrong; a whole second is taken off for the fraction.
        wall_clock: The time of day by the instance.
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
