"""Verifies signatures as OSS does.

Each request is signed again by ``alibabacloud_oss_v2.signer``, an implementation independent of
oss2, with the secret of the request's AccessKey id and at the request's time.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from alibabacloud_oss_v2.signer import SignerV1, SignerV4
from alibabacloud_oss_v2.types import Credentials, HttpRequest, SigningContext

from ecs_role_creds.testing.exchange import IssuedCredentials
from ecs_role_creds.testing.oss.claims import Claim, check_time, read_claim
from ecs_role_creds.testing.oss.errors import RefusedError, access_denied, invalid_argument
from ecs_role_creds.testing.oss.operations import Received, parameters

# What OSS signs in version 1 (documented); the signer knows only what its own client sends.
_V1_SUBRESOURCES = [
    *("accessPoint", "accessPointPolicy", "acl", "append", "asyncFetch"),
    *("bucketArchiveDirectRead", "bucketInfo", "callback", "callback-var", "cname", "comp"),
    *("continuation-token", "cors", "delete", "encryption", "endTime", "group", "httpsConfig"),
    *("img", "inventory", "inventoryId", "lifecycle", "link", "live", "location", "logging"),
    *("metaQuery", "objectInfo", "objectMeta", "partNumber", "policy", "policyStatus"),
    *("position", "publicAccessBlock", "qos", "qosInfo", "qosRequester"),
    *("redundancyTransition", "referer", "regionList", "replication", "replicationLocation"),
    *("replicationProgress", "requesterQosInfo", "requestPayment", "resourceGroup"),
    *("resourcePool", "resourcePoolBuckets", "resourcePoolInfo", "response-cache-control"),
    *("response-content-disposition", "response-content-encoding", "response-content-language"),
    *("response-content-type", "response-expires", "restore", "security-token", "sequential"),
    *("startTime", "stat", "status", "style", "styleName", "symlink", "tagging"),
    *("transferAcceleration", "uploadId", "uploads", "versionId", "versioning", "versions"),
    *("vod", "website", "worm", "wormExtend", "wormId", "x-oss-ac-forward-allow"),
    *("x-oss-ac-source-ip", "x-oss-ac-subnet-mask", "x-oss-ac-vpc-id"),
    *("x-oss-access-point-name", "x-oss-async-process", "x-oss-process"),
    *("x-oss-redundancy-transition-taskid", "x-oss-request-payer"),
    *("x-oss-target-redundancy-type", "x-oss-traffic-limit", "x-oss-write-get-object-response"),
]


class Authority(Protocol):
    """Knows which credentials were issued, for example a ``FakeMetadataServer``."""

    def find_issued(self, access_key_id: str) -> IssuedCredentials | None:
        """Return the credentials with this AccessKey id, even if they have expired."""

    def now(self) -> datetime:
        """Return the time that decides whether they have expired."""
        ...


def verify(
    received: Received, authority: Authority, real_now: datetime, region: str
) -> IssuedCredentials | None:
    """Check a request as OSS does.

    Args:
        received: The request.
        authority: The issuer of the credentials.
        real_now: The time of day, for the dates in signatures.
        region: The region that a version 4 signature must be for.

    Returns:
        The credentials that signed it; ``None`` if it is not signed.

    Raises:
        RefusedError: OSS would refuse it, or the fake cannot verify its signature.
    """
    claim = read_claim(received)
    if claim is None:
        return None
    issued = authority.find_issued(claim.access_key_id)
    if issued is None:
        raise RefusedError(
            403,
            "InvalidAccessKeyId",
            "The OSS Access Key Id you provided does not exist in our records.",
            "0002-00000902",
            {"OSSAccessKeyId": claim.access_key_id},
        )
    check_time(claim, real_now)
    if claim.version == 4 and claim.region != region:
        raise invalid_argument(
            "Authorization",
            claim.region,
            f"Invalid signing region in Authorization header; FakeOss is in {region}.",
            "0002-00000226",
        )
    if claim.security_token is None:
        raise access_denied("An STS AccessKey id needs its security token.", "")
    if not _equal(claim.security_token, issued.security_token):
        raise RefusedError(
            403,
            "InvalidSecurityToken",
            "The security token you provided is invalid.",
            "0002-00000006",
        )
    if not _equal(claim.signature, _sign_again(received, claim, issued)):
        raise RefusedError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            "0002-00000040",
            {"SignatureProvided": claim.signature},
        )
    if authority.now() >= issued.expiration:
        raise RefusedError(
            403, "SecurityTokenExpired", "The security token you provided has expired."
        )
    return issued


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _sign_again(received: Received, claim: Claim, issued: IssuedCredentials) -> str:
    headers = {name: value for name, value in received.headers.items() if name != "authorization"}
    request = HttpRequest(received.method, _unsigned(received.url), headers)
    context: Any = SigningContext(
        product=claim.product,
        region=claim.region,
        bucket=received.bucket,
        key=received.key,
        request=request,
        credentials=Credentials(
            issued.access_key_id, issued.access_key_secret, issued.security_token
        ),
        signing_time=claim.signed_at,
        additional_headers=set(claim.additional_headers),
    )
    context.sub_resource = _V1_SUBRESOURCES
    context.auth_method_query = claim.is_presigned
    context.expiration_time = claim.expires_at
    (SignerV4() if claim.version == 4 else SignerV1()).sign(context)
    if claim.is_presigned:
        name = "x-oss-signature" if claim.version == 4 else "Signature"
        return dict(parameters(request.url))[name]
    authorization: str = request.headers["Authorization"]
    return authorization.rpartition("=" if claim.version == 4 else ":")[2]


def _unsigned(url: str) -> str:
    """Return the URL without the parameters of the signature, in a normal form."""
    kept = [
        quote(name, safe="") + (f"={quote(value, safe='')}" if value else "")
        for name, value in parameters(url)
        if name not in ("x-oss-signature", "Signature")
    ]
    path = url.partition("?")[0]
    return f"{path}?{'&'.join(kept)}" if kept else path
