"""One immutable set of STS credentials."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NoReturn

from ecs_role_creds.clock import Clock, boottime, utc_now

_FIELDS = ("access_key_id", "access_key_secret", "security_token", "expiration", "role_name")


class Credentials:
    """The credentials of an instance RAM role, as one snapshot: all parts belong to one token.

    Client SDKs read credentials in two ways, and this class serves both: attributes
    (``access_key_id``, ...; alibabacloud-oss-v2 and the ``alibabacloud_*`` product SDKs) and
    getters (``get_access_key_id()``, ...; oss2 and alibabacloud-credentials).

        >>> from ecs_role_creds import get_credentials
        >>> credentials = get_credentials()
        >>> credentials.access_key_id.startswith("STS."), credentials.role_name
        (True, 'app-role')
        >>> credentials.expires_in() > 3600               # seconds
        True

    Immutable. No part of it appears in ``repr()``, ``str()``, ``format()``, ``vars()`` or logs;
    copying returns the object itself; pickling is refused.

    Args:
        access_key_id: The AccessKey id; it starts with ``STS.``.
        access_key_secret: The AccessKey secret.
        security_token: The STS security token, sent together with the other two.
        expiration: When they expire by the service's clock, as an aware datetime. Stored in UTC.
        role_name: The RAM role they belong to.
        expires_at: The same time on ``clock``. By default it is calculated from ``expiration`` and
            the instance's time of day.
        clock: The clock that ``expires_in()`` reads, in seconds.

    Raises:
        ValueError: ``expiration`` has no time zone.
    """

    __slots__ = (*_FIELDS, "_clock", "_expires_at")

    access_key_id: str
    access_key_secret: str
    security_token: str
    expiration: datetime
    role_name: str | None

    type = "sts"
    provider_name = "ecs_ram_role"

    def __init__(
        self,
        access_key_id: str,
        access_key_secret: str,
        security_token: str,
        expiration: datetime,
        role_name: str | None = None,
        *,
        expires_at: float | None = None,
        clock: Clock = boottime,
    ) -> None:
        if expiration.tzinfo is None:
            raise ValueError("expiration has no time zone; pass an aware datetime, in UTC")
        # It is printed with a Z, here and by client SDKs.
        expiration = expiration.astimezone(timezone.utc)
        if expires_at is None:
            expires_at = clock() + (expiration - utc_now()) / timedelta(seconds=1)
        values = (access_key_id, access_key_secret, security_token, expiration, role_name)
        for name, value in zip(_FIELDS, values, strict=True):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_clock", clock)
        object.__setattr__(self, "_expires_at", expires_at)

    def expires_in(self) -> float:
        """Seconds until these credentials expire; 0 after that.

        Everything signed with them expires too, including presigned URLs. The service's clock is
        used, not the instance's. The service sends its time in whole seconds, so the result can be
        up to one second too small.
        """
        left: float = self._expires_at - self._clock()  # type: ignore[attr-defined]
        return max(0.0, left)

    def is_expired(self) -> bool:
        """Whether ``expires_in()`` is 0."""
        return self.expires_in() <= 0.0

    def has_keys(self) -> bool:
        """Whether there are keys to sign with; always true. alibabacloud-oss-v2 calls it."""
        return True

    def get_access_key_id(self) -> str:
        """``access_key_id``, for clients that call a getter."""
        return self.access_key_id

    def get_access_key_secret(self) -> str:
        """``access_key_secret``, for clients that call a getter."""
        return self.access_key_secret

    def get_security_token(self) -> str:
        """``security_token``, for clients that call a getter."""
        return self.security_token

    def get_provider_name(self) -> str:
        """``provider_name``; alibabacloud-credentials calls it and sends the name."""
        return self.provider_name

    def is_same_token(self, other: Credentials) -> bool:
        """Whether both are the same STS token: each token has its own AccessKey id."""
        return self.access_key_id == other.access_key_id

    def _identity(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in _FIELDS)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((self.access_key_id, self.expiration))

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} of role {self.role_name!r}, "
            f"expiring {self.expiration:%Y-%m-%dT%H:%M:%SZ}, secrets not shown>"
        )

    def __format__(self, format_spec: str) -> str:
        return format(repr(self), format_spec)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Credentials are immutable; cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Credentials are immutable; cannot delete {name!r}")

    def __copy__(self) -> Credentials:
        return self

    def __deepcopy__(self, memo: object) -> Credentials:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "Credentials refuse to be pickled, so that secrets stay out of files, queues and "
            "caches; pickle the provider: it carries its settings, and fetches where it lands"
        )
