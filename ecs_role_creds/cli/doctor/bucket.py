"""The signed request to OSS of ``--bucket``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ecs_role_creds.cli.doctor.observations import BucketAnswer
from ecs_role_creds.cli.packages import needs

if TYPE_CHECKING:
    from ecs_role_creds import Credentials

TIMEOUT = 10.0
"""Seconds for OSS to accept the connection, and again for each read of the response."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")  # an error code of OSS; too short for a secret
_HOST = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
_REQUEST_ID = re.compile(r"[0-9A-Fa-f]{1,64}")


def ask_oss(
    credentials: Credentials | None, bucket: str, endpoint: str, region: str | None
) -> BucketAnswer:
    """List one object of a bucket, signed with the role's credentials.

    Args:
        credentials: The role's credentials, or ``None`` if there are none.
        bucket: The bucket's name.
        endpoint: The OSS endpoint.
        region: Sign with V4 for this region; ``None``: sign with V1.
    """
    if credentials is None:
        return BucketAnswer(bucket, problem="there are no credentials to sign the request with.")
    try:
        import oss2
    except ImportError as error:
        return BucketAnswer(bucket, problem=needs("--bucket", error, "oss2"))
    auth = oss2.StsAuth(
        credentials.access_key_id,
        credentials.access_key_secret,
        credentials.security_token,
        auth_version=oss2.AUTH_VERSION_1 if region is None else oss2.AUTH_VERSION_4,
    )
    try:
        target = oss2.Bucket(auth, endpoint, bucket, connect_timeout=TIMEOUT, region=region)
        result = target.list_objects_v2(max_keys=1)
    except oss2.exceptions.ServerError as error:
        details = error.details or {}
        return BucketAnswer(
            bucket,
            error.status,
            _only(_WORD, error.code),
            _only(_HOST, details.get("Endpoint", "")),
            _only(_REQUEST_ID, error.request_id),
        )
    except oss2.exceptions.RequestError:
        return BucketAnswer(bucket)
    except (oss2.exceptions.ClientError, ValueError, TypeError) as error:
        name = type(error).__name__
        return BucketAnswer(
            bucket, problem=f"oss2 rejects the bucket name, the endpoint or the region ({name})."
        )
    return BucketAnswer(bucket, result.status, request_id=_only(_REQUEST_ID, result.request_id))


def _only(pattern: re.Pattern[str], text: str) -> str:
    """Return the text if it has the expected form, else nothing: a response may hold anything."""
    return text if pattern.fullmatch(text) else ""
