"""aliyun-python-sdk-core: a credential for ``AcsClient`` that always reads from a provider."""

from __future__ import annotations

import os
import warnings

from ecs_role_creds.adapters._provider import Provider, RequestSigner, resolve

try:
    from aliyunsdkcore.auth.credentials import StsTokenCredential
except ImportError as error:
    raise ImportError(
        "ecs_role_creds.adapters.aliyunsdkcore needs aliyun-python-sdk-core: "
        "pip install 'ecs-role-creds[sdk-core]'"
    ) from error

__all__ = ["credential"]

_STRONGER = ("ALIYUN_ACCESS_KEY_ID", "ALIYUN_ACCESS_KEY_SECRET")


def credential(provider: Provider | None = None) -> StsTokenCredential:
    """Build a credential for ``AcsClient(credential=...)``. Each request uses one snapshot.

    ``AcsClient`` prefers its arguments ``ak`` and ``secret``, and the environment variables
    ``ALIYUN_ACCESS_KEY_ID`` and ``ALIYUN_ACCESS_KEY_SECRET``. If both variables are set, this
    function emits a ``UserWarning``.

    >>> from aliyunsdkcore.client import AcsClient
    >>> client = AcsClient(region_id="cn-hangzhou", credential=credential())

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Returns:
        An ``aliyunsdkcore.auth.credentials.StsTokenCredential``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    if all(name in os.environ for name in _STRONGER):
        warnings.warn(
            "AcsClient signs with ALIYUN_ACCESS_KEY_ID and ALIYUN_ACCESS_KEY_SECRET of the "
            "environment, not with the credential passed to it; unset them",
            stacklevel=2,
        )
    return _Credential(resolve(provider))


class _Credential(StsTokenCredential):  # type: ignore[misc]
    """Returns the parts of one snapshot: the signer reads the token first, then the other parts.

    The client builds its signer once. The signer reads the three attributes for each request, on
    the thread that sends it.
    """

    def __init__(self, provider: Provider) -> None:
        self._signer = RequestSigner(provider)

    @property
    def sts_token(self) -> str:
        return self._signer.get_credentials().security_token

    @property
    def sts_access_key_id(self) -> str:
        return self._signer.last().access_key_id

    @property
    def sts_access_key_secret(self) -> str:
        return self._signer.last().access_key_secret
