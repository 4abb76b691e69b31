"""Session tokens of the security hardening mode. They are signed, not stored."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import struct
from collections.abc import Callable

from ecs_role_creds.clock import Clock, boottime

MAX_TTL = 21600
"""The longest lifetime in seconds, as for the metadata service (documented)."""

_BODY = struct.Struct(">d16s")  # when it expires, and a nonce
_SIGNATURE_LENGTH = 32


class SessionTokens:
    """Issues and checks session tokens.

    A token contains its expiration and a signature, so memory use does not grow with the number of
    tokens. A restart creates a new key, which invalidates all tokens; clients then get 401 and
    request a new one.

    Args:
        clock: Reads seconds. It must continue while the host is suspended.
        random_bytes: Returns that many random bytes.
    """

    def __init__(
        self, clock: Clock = boottime, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._key = random_bytes(32)

    def issue(self, ttl: int) -> str:
        """Return a new token that is valid for ``ttl`` seconds.

        Raises:
            ValueError: ``ttl`` is not from 1 to 21600.
        """
        if not 1 <= ttl <= MAX_TTL:
            raise ValueError(f"ttl is {ttl}; pass 1 to {MAX_TTL} seconds")
        body = _BODY.pack(self._clock() + ttl, self._random_bytes(16))
        return base64.urlsafe_b64encode(body + self._sign(body)).decode("ascii")

    def is_valid(self, token: str) -> bool:
        """Whether this object issued the token, and it has not expired."""
        try:
            decoded = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return False
        body, signature = decoded[: _BODY.size], decoded[_BODY.size :]
        if len(signature) != _SIGNATURE_LENGTH:
            return False
        if not hmac.compare_digest(signature, self._sign(body)):
            return False
        expires_at: float = _BODY.unpack(body)[0]
        return self._clock() < expires_at

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)
