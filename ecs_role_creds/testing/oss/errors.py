"""The errors of OSS: status, code, message, and the XML that clients read exceptions from.

``EC`` is OSS's detailed error code. It is set if the documentation or a published response shows
it.
"""

from __future__ import annotations

import base64

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.xml import document, text


class RefusedError(Exception):
    """OSS refuses a request.

    Args:
        status: The HTTP status.
        code: The error code.
        message: The message.
        ec: The detailed error code.
        details: More elements of the XML, such as ``BucketName``.
        headers: More headers of the response.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        ec: str = "",
        details: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.ec = ec
        self.details = details or {}
        self.headers = headers or {}


def error_response(refusal: RefusedError, request_id: str, host: str) -> Response:
    """Return the response for an error. For HEAD, the header ``x-oss-err`` contains the XML."""
    if refusal.status == 304:
        return Response(304, b"", refusal.headers)
    elements = [
        text("Code", refusal.code),
        text("Message", refusal),
        text("RequestId", request_id),
        text("HostId", host),
        *(text(name, value) for name, value in refusal.details.items()),
    ]
    headers = {"Content-Type": "application/xml"}
    if refusal.ec:
        elements.append(text("EC", refusal.ec))
        elements.append(text("RecommendDoc", f"https://api.aliyun.com/troubleshoot?q={refusal.ec}"))
        headers["x-oss-ec"] = refusal.ec
    body = document("Error", *elements).encode()
    headers["x-oss-err"] = base64.b64encode(body).decode()
    return Response(refusal.status, body, {**headers, **refusal.headers})


def not_implemented(what: str) -> RefusedError:
    """The fake does not support it."""
    return RefusedError(400, "NotImplemented", f"FakeOss does not fake {what}.")


def access_denied(
    message: str = "You have no right to access this object because of bucket acl.",
    ec: str = "0003-00000001",
) -> RefusedError:
    """The signer, or everybody, does not have the permission."""
    return RefusedError(403, "AccessDenied", message, ec)


def no_such_bucket(name: str) -> RefusedError:
    """The bucket does not exist."""
    return RefusedError(
        404,
        "NoSuchBucket",
        "The specified bucket does not exist.",
        "0015-00000101",
        {"BucketName": name},
    )


def no_such_key(key: str) -> RefusedError:
    """The object does not exist."""
    return RefusedError(
        404, "NoSuchKey", "The specified key does not exist.", "0026-00000001", {"Key": key}
    )


def no_such_upload(upload_id: str) -> RefusedError:
    """The multipart upload does not exist, or has ended."""
    return RefusedError(
        404,
        "NoSuchUpload",
        "The specified upload does not exist. "
        "The upload ID may be invalid, or the upload may have been aborted or completed.",
        "0042-00000002",
        {"UploadId": upload_id},
    )


def invalid_argument(name: str, value: str, message: str, ec: str = "") -> RefusedError:
    """OSS does not accept the value of a parameter or header."""
    details = {"ArgumentName": name, "ArgumentValue": value}
    return RefusedError(400, "InvalidArgument", message, ec, details)


def missing_argument(name: str, ec: str = "0016-00000502") -> RefusedError:
    """A required parameter or header is missing."""
    return RefusedError(
        400, "MissingArgument", "Missing Some Required Arguments.", ec, {"ArgumentName": name}
    )


def malformed_xml(detail: str, ec: str = "") -> RefusedError:
    """The body is not the XML that the operation needs."""
    return RefusedError(
        400,
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published "
        "schema.",
        ec,
        {"ErrorDetail": detail},
    )


def precondition_failed(condition: str) -> RefusedError:
    """A condition of the request does not hold."""
    return RefusedError(
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold.",
        "",
        {"Condition": condition},
    )


def not_modified(etag: str) -> RefusedError:
    """According to a condition of the request, the client already has the object."""
    return RefusedError(304, "NotModified", "Not Modified", "", {}, {"ETag": etag})
