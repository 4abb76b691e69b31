"""What OSS's answer to a signed request means, in words: pure."""

from __future__ import annotations

from collections.abc import Iterator

from ecs_role_creds.cli.doctor.observations import BucketAnswer, Finding, Observations
from ecs_role_creds.cli.output import printable

_WORDS: dict[str, tuple[str, str]] = {
    "NoSuchBucket": (
        "OSS accepted the signature, but there is no bucket {bucket}.",
        "Correct --bucket, and check that it is in the account and the region of the endpoint.",
    ),
    "AccessDenied": (
        "OSS accepted the signature, but the role may not list the bucket {bucket}.",
        "Grant the role what the application needs, for example oss:ListObjects on "
        "acs:oss:*:*:{bucket}. If it needs no listing, this is no fault.",
    ),
    "SignatureDoesNotMatch": (
        "OSS computed another signature.",
        "Check --endpoint and --region, and that no proxy changes requests on their way.",
    ),
    "InvalidAccessKeyId": (
        "OSS does not know the AccessKey id.",
        "Check that the endpoint belongs to OSS and to the same site (China or international) as "
        "the instance, and that the metadata service is not a fake one.",
    ),
    "SecurityTokenExpired": (
        "OSS says that the security token has expired.",
        "Compare the clocks above, then run doctor again.",
    ),
    "InvalidSecurityToken": (
        "OSS does not accept the security token.",
        "The role may have been changed a moment ago: run doctor again.",
    ),
    "RequestTimeTooSkewed": (
        "OSS refuses the request, as this machine's clock is more than 15 minutes off.",
        "Synchronize the clock, for example with chrony.",
    ),
    "InvalidBucketName": (
        "OSS says that no bucket can have the name {bucket}.",
        "Pass the bucket's name alone: no oss://, no endpoint, no path.",
    ),
    "UserDisable": (
        "OSS says that the account is disabled.",
        "Check whether the Alibaba Cloud account has an overdue payment.",
    ),
}


def check_bucket(seen: Observations) -> Iterator[Finding]:
    """What OSS answered, if it was asked."""
    if seen.bucket is not None:
        yield put_into_words(seen.bucket)


def put_into_words(answer: BucketAnswer) -> Finding:
    """What an answer of OSS means, and what to do about it."""
    bucket = printable(answer.bucket)
    request = f" (request id {printable(answer.request_id)})" if answer.request_id else ""
    if answer.problem:
        return Finding("failed", f"OSS was not asked: {printable(answer.problem)}")
    if answer.status is None:
        return Finding(
            "failed",
            "OSS does not answer at that endpoint.",
            "Check --endpoint, the name resolution, and the way there: an instance in a VPC "
            "reaches the internal endpoint, and the public one only with a public address.",
        )
    if answer.right_endpoint:
        return Finding(
            "failed",
            f"The bucket {bucket} is at another endpoint{request}.",
            f"Pass --endpoint https://{printable(answer.right_endpoint)}",
        )
    if not answer.code and answer.status < 300:
        return Finding("ok", f"OSS accepted a signed request: listing the bucket {bucket}.")
    if answer.code in _WORDS:
        reason, advice = _WORDS[answer.code]
        result = "warning" if answer.code == "AccessDenied" else "failed"
        return Finding(
            "warning" if result == "warning" else "failed",
            reason.format(bucket=bucket) + request,
            advice.format(bucket=bucket),
        )
    code = printable(answer.code) or "no error code"
    return Finding(
        "failed",
        f"OSS answered {answer.status} with {code}{request}.",
        "Look the code up in the OSS documentation, and check that --endpoint is OSS.",
    )
