"""One immutable set of STS credentials."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NoReturn

from ecs_role_creds.clock import Clock, boottime, utc_now

_FIELDS = ("access_key_id", "access_key_secret", "security_token", "expiration", "role_name")


class Credentials:
    """The STS credentials of an instance RAM role, as one snapshot: all parts belong to one token.

    Client SDKs read credentials in two ways, and this class supports both: attributes such as
    ``access_key_id`` (alibabacloud-oss-v2 and the ``alibabacloud_*`` product SDKs), and getters
    such as ``get_access_key_id()`` (oss2 and alibabacloud-credentials).

    The object is immutable. No secret appears in ``repr()``, ``str()``, ``format()``, ``vars()`` or
    logs. Copying returns the object itself. Pickling raises ``TypeError``.

    >>> from ecs_role_creds import get_credentials
    >>> credentials = get_credentials()
    >>> credentials.access_key_id[:4], credentials.role_name
    ('STS.', 'app-role')
    >>> credentials
    <Credentials of role 'app-role', expiring ..., secrets not shown>

    Args:
        access_key_id: The AccessKey id. It starts with ``STS.``.
        access_key_secret: The AccessKey secret.
        security_token: The STS security token, which is sent with the other two.
        expiration: When the credentials expire, by the service's clock: an aware datetime. It is
            stored in UTC.
        role_name: The RAM role of the credentials.
        expires_at: The same time as a reading of ``clock``. By default it is calculated from
            ``expiration`` and the instance's time of day.
        clock: A function that returns seconds, for ``expires_in()``.

    Raises:
        TypeError: ``expiration`` is not a datetime.
        ValueError: ``expiration`` has no time zone.
    """

    __slots__ = (*_FIELDS, "_clock", "_expires_at")

    access_key_id: str
    access_key_secret: str
    security_token: str
    expiration: datetime
    role_name: str | None

    type = "sts"
    """The kind of credentials, for clients that read it."""
    provider_name = "ecs_ram_role"
    """The source of the credentials, for clients that read it."""

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
        if not isinstance(expiration, datetime):
            raise TypeError(
                f"expiration takes an aware datetime, in UTC, not {type(expiration).__name__}"
            )
        if expiration.tzinfo is None:
            raise ValueError("expiration has no time zone; pass an aware datetime, in UTC")
        # This class and client SDKs print it with a Z.
        expiration = expiration.astimezone(timezone.utc)
        if expires_at is None:
            expires_at = clock() + (expiration - utc_now()) / timedelta(seconds=1)
        values = (access_key_id, access_key_secret, security_token, expiration, role_name)
        for name, value in zip(_FIELDS, values, strict=True):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_clock", clock)
        object.__setattr__(self, "_expires_at", expires_at)

    def expires_in(self) -> float:
        """Return the seconds until these credentials expire; 0 if they have expired.

        Everything that is signed with them expires too, including presigned URLs. The service's
        clock is used, not the instance's. The service sends its time in whole seconds, so the
        result can be up to one second too small.

        >>> from ecs_role_creds import get_credentials
        >>> 21598 <= get_credentials().expires_in() <= 21600
        True
        """
        left: float = self._expires_at - self._clock()  # type: ignore[attr-defined]
        return max(0.0, left)

    def is_expired(self) -> bool:
        """Return whether these credentials have expired.

        >>> from ecs_role_creds import get_credentials
        >>> get_credentials().is_expired()
        False
        """
        return self.expires_in() <= 0.0

    def has_keys(self) -> bool:
        """Return ``True``: there are keys to sign with. alibabacloud-oss-v2 calls this method.

        >>> from ecs_role_creds import get_credentials
        >>> get_credentials().has_keys()
        True
        """
        return True

    def get_access_key_id(self) -> str:
        """Return ``access_key_id``, for clients that call a getter.

        >>> from ecs_role_creds import get_credentials
        >>> get_credentials().get_access_key_id()
        'STS.FAKE...'
        """
        return self.access_key_id

    def get_access_key_secret(self) -> str:
        """Return ``access_key_secret``, for clients that call a getter.

        >>> from ecs_role_creds import get_credentials
        >>> credentials = get_credentials()
        >>> credentials.get_access_key_secret() == credentials.access_key_secret
        True
        """
        return self.access_key_secret

    def get_security_token(self) -> str:
        """Return ``security_token``, for clients that call a getter.

        >>> from ecs_role_creds import get_credentials
        >>> credentials = get_credentials()
        >>> credentials.get_security_token() == credentials.security_token
        True
        """
        return self.security_token

    def get_provider_name(self) -> str:
        """Return ``provider_name``. alibabacloud-credentials reads it and sends it to services.

        >>> from ecs_role_creds import get_credentials
        >>> get_credentials().get_provider_name()
        'ecs_ram_role'
        """
        return self.provider_name

    def is_same_token(self, other: Credentials) -> bool:
        """Return whether both are the same STS token, which has its own AccessKey id.

        >>> from ecs_role_creds import default_provider
        >>> old = default_provider().get_credentials()
        >>> issued = ecs_metadata.rotate()  # in a test
        >>> default_provider().refresh().is_same_token(old)
        False

        Args:
            other: The credentials to compare with.
        """
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
            "Credentials cannot be pickled, so that no secret gets into files, queues and caches; "
            "pickle the provider instead: it contains no secret, and fetches its own credentials"
        )
