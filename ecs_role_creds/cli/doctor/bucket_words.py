"""What the response of OSS to the signed request means. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from ecs_role_creds.cli.doctor.observations import BucketAnswer, Finding, Observations
from ecs_role_creds.cli.output import printable

_WORDS: dict[str, tuple[str, str]] = {
    "NoSuchBucket": (
        "OSS accepted the signature, but there is no bucket {bucket}.",
        "Correct --bucket. Check that the bucket is in this account and in the endpoint's region.",
    ),
    "AccessDenied": (
        "OSS accepted the signature, but the role may not list the bucket {bucket}.",
        "Grant the role the permissions that the application needs, for example oss:ListObjects "
        "on acs:oss:*:*:{bucket}. If the application does not list objects, ignore this.",
    ),
    "SignatureDoesNotMatch": (
        "OSS computed another signature.",
        "Check --endpoint and --region, and that no proxy modifies requests.",
    ),
    "InvalidAccessKeyId": (
        "OSS does not know the AccessKey id.",
        "Check that the endpoint belongs to OSS and to the same site (China or international) as "
        "the instance, and that the metadata service is not a fake.",
    ),
    "SecurityTokenExpired": (
        "OSS says that the security token has expired.",
        "Check the clock (see above), then run doctor again.",
    ),
    "InvalidSecurityToken": (
        "OSS does not accept the security token.",
        "If the role was changed a moment ago, run doctor again.",
    ),
    "RequestTimeTooSkewed": (
        "OSS refuses the request because this machine's clock is wrong by more than 15 minutes.",
        "Synchronize the clock, for example with chrony.",
    ),
    "InvalidBucketName": (
        "OSS says that {bucket} is not a valid bucket name.",
        "Pass only the bucket name, without oss://, endpoint or path.",
    ),
    "UserDisable": (
        "OSS says that the account is disabled.",
        "Check whether the Alibaba Cloud account has an overdue payment.",
    ),
}


def check_bucket(seen: Observations) -> Iterator[Finding]:
    """The response of OSS, if a request was sent."""
    if seen.bucket is not None:
        yield put_into_words(seen.bucket)


def put_into_words(answer: BucketAnswer) -> Finding:
    """Return what a response of OSS means, and what to do about it."""
    bucket = printable(answer.bucket)
    request = f" (request id {printable(answer.request_id)})" if answer.request_id else ""
    if answer.problem:
        return Finding("failed", f"No request was sent to OSS: {printable(answer.problem)}")
    if answer.status is None:
        return Finding(
            "failed",
            "OSS does not answer at that endpoint.",
            "Check --endpoint, DNS and the network. An instance in a VPC reaches the internal "
            "endpoint; it needs a public IP address or a NAT gateway to reach the public one.",
        )
    if answer.right_endpoint:
        return Finding(
            "failed",
            f"The bucket {bucket} has another endpoint{request}.",
            f"Pass --endpoint https://{printable(answer.right_endpoint)}",
        )
    if not answer.code and answer.status < 300:
        return Finding("ok", f"OSS accepted a signed request to list the bucket {bucket}.")
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
        "Look up the code in the OSS documentation. Check that --endpoint is an OSS endpoint.",
    )
