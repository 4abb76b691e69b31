"""Services on loopback that answer only what was signed with one whole set of credentials.

Each protocol is read and signed again here, not by the client under test.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import IssuedCredentials, Request, Response
from ecs_role_creds.testing.loopback import LoopbackServer


class Claim(NamedTuple):
    """What a request says of its signer.

    Attributes:
        access_key_id: Whose signature it is.
        security_token: The token sent along.
        signature: As sent.
        sign: What the signature has to be, given the secret.
    """

    access_key_id: str
    security_token: str
    signature: str
    sign: Callable[[str], str]


class SignedService(LoopbackServer):
    """Answers requests whose id, secret and token were issued together, and refuses all others.

    Args:
        metadata: Who issued the credentials.
        read: Finds the claim in a request.
        answer: What is answered, given the request and the credentials' secret.
        refuse: What is answered to a request that is refused, given the error code.
        expired: The error code for credentials that have expired.
    """

    def __init__(
        self,
        metadata: FakeMetadataServer,
        read: Callable[[Request], Claim],
        answer: Callable[[Request, str], Response],
        refuse: Callable[[str], Response] = lambda code: Response(403, code.encode()),
        expired: str = "SecurityTokenExpired",
    ) -> None:
        super().__init__()
        self.received: list[Request] = []
        """Every request, oldest first."""
        self.refused: list[str] = []
        """The error codes of the requests that were refused."""
        self.denies = False
        """Whether nothing is allowed to anybody."""
        self.when_refused: Callable[[], object] = lambda: None
        """Called before a refusal is sent."""
        self._signers: list[str | None] = []
        self._metadata = metadata
        self._read = read
        self._answer = answer
        self._refuse = refuse
        self._expired = expired
        self._lock = threading.Lock()

    def signers(self) -> list[str | None]:
        """The AccessKey ids that requests were signed with; ``None`` for one that was refused."""
        return list(self._signers)

    def handle(self, request: Request) -> Response:
        try:
            issued, code = self._verify(request)
        except (KeyError, ValueError) as error:
            issued, code = None, f"not signed: {error!r}"
        with self._lock:
            self.received.append(request)
            self._signers.append(issued.access_key_id if issued and code is None else None)
            if code is not None:
                self.refused.append(code)
        if issued is None or code is not None:
            self.when_refused()
            return self._refuse(code or "")
        if self.denies:
            return self._refuse("AccessDenied")
        return self._answer(request, issued.access_key_secret)

    def _verify(self, request: Request) -> tuple[IssuedCredentials | None, str | None]:
        """The credentials that a request was signed with, and the error code if it is refused."""
        claim = self._read(request)
        issued = self._metadata.find_issued(claim.access_key_id)
        if issued is None:
            return None, "InvalidAccessKeyId"
        if claim.security_token != issued.security_token:
            return issued, "the token of another AccessKey id"
        if claim.signature != claim.sign(issued.access_key_secret):
            return issued, "the signature of another secret"
        if self._metadata.now() >= issued.expiration:
            return issued, self._expired
        return issued, None


def _hmac(digest: str, secret: str, text: str) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), digest)).decode()


def _groups(pattern: re.Pattern[str], request: Request) -> Any:
    match = pattern.fullmatch(request.headers["authorization"])
    if match is None:
        raise ValueError("the Authorization header makes no sense")
    return match.groups()


def _derive(secret: str, *parts: str) -> bytes:
    """The key that version 4 of the signatures makes of a secret, a part at a time."""
    key = ("aliyun_v4" + secret).encode()
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _pairs(request: Request) -> list[tuple[str, str]]:
    query = urlsplit(request.path).query
    return sorted(parse_qsl(query, keep_blank_values=True))


def _query(request: Request) -> str:
    """The sorted parameters, those without a value without its sign."""
    return "&".join(
        _quoted(name) + (f"={_quoted(value)}" if value else "") for name, value in _pairs(request)
    )


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


# OpenAPI, as the product SDKs sign it.

_ACS3 = re.compile(
    r"ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([^,]+),Signature=([0-9a-f]+)"
)


def read_acs3(request: Request) -> Claim:
    """The claim in a request of the product SDKs on tea-openapi (ACS3-HMAC-SHA256)."""
    access_key_id, signed_headers, signature = _groups(_ACS3, request)
    canonical = "\n".join(
        (
            request.method,
            urlsplit(request.path).path,
            "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in _pairs(request)),
            *(f"{name}:{request.headers[name].strip()}" for name in signed_headers.split(";")),
            "",
            signed_headers,
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    return Claim(
        access_key_id,
        request.headers["x-acs-security-token"],
        signature,
        lambda secret: hmac.digest(secret.encode(), text.encode(), "sha256").hex(),
    )


def read_rpc(request: Request) -> Claim:
    """The claim in a request of the older RPC style (HMAC-SHA1 in the query)."""
    pairs = [*_pairs(request), *parse_qsl(request.body.decode(), keep_blank_values=True)]
    parameters = dict(pairs)
    signature = parameters.pop("Signature")
    query = "&".join(f"{_quoted(name)}={_quoted(parameters[name])}" for name in sorted(parameters))
    text = f"{request.method}&{_quoted('/')}&{_quoted(query)}"
    return Claim(
        parameters["AccessKeyId"],
        parameters["SecurityToken"],
        signature,
        lambda secret: _hmac("sha1", secret + "&", text),
    )


# OSS, signature version 2, which FakeOss does not know.

_OSS2 = re.compile(r"OSS2 AccessKeyId:([^,]+)(?:,AdditionalHeaders:([^,]*))?,Signature:(\S+)")


def read_oss_v2(request: Request) -> Claim:
    """The claim in a request to OSS, signature version 2."""
    access_key_id, additional, signature = _groups(_OSS2, request)
    headers = request.headers
    extra = sorted((additional or "").split(";")) if additional else []
    named = sorted(name for name in headers if name.startswith("x-oss-") or name in extra)
    query = _query(request)
    text = "\n".join(
        (
            request.method,
            headers.get("content-md5", ""),
            headers.get("content-type", ""),
            headers["date"],
            *(f"{name}:{headers[name]}" for name in named),
            ";".join(extra),
            _quoted(unquote(urlsplit(request.path).path)) + (f"?{query}" if query else ""),
        )
    )
    token = headers["x-oss-security-token"]
    return Claim(access_key_id, token, signature, lambda secret: _hmac("sha256", secret, text))


# Simple Log Service.


def read_log_v1(request: Request) -> Claim:
    """The claim in a request to Simple Log Service, signature version 1."""
    headers = request.headers
    access_key_id, _, signature = headers["authorization"].removeprefix("LOG ").partition(":")
    named = sorted(name for name in headers if name.startswith(("x-log-", "x-acs-")))
    named.remove("x-log-date")  # a copy that is added after signing
    query = "&".join(f"{name}={value}" for name, value in _pairs(request))
    resource = urlsplit(request.path).path + (f"?{query}" if query else "")
    text = "\n".join(
        (
            request.method,
            headers.get("content-md5", ""),
            headers.get("content-type", ""),
            headers["date"],
            *(f"{name}:{headers[name]}" for name in named),
            resource,
        )
    )
    token = headers["x-acs-security-token"]
    return Claim(access_key_id, token, signature, lambda secret: _hmac("sha1", secret, text))


_SLS4 = re.compile(r"SLS4-HMAC-SHA256 Credential=([^/]+)/([^,]+),Signature=([0-9a-f]+)")


def read_log_v4(request: Request) -> Claim:
    """The claim in a request to Simple Log Service, signature version 4."""
    headers = request.headers
    access_key_id, scope, signature = _groups(_SLS4, request)
    named = sorted(
        name
        for name in headers
        if name in ("content-type", "host") or name.startswith(("x-log-", "x-acs-"))
    )
    canonical = "\n".join(
        (
            request.method,
            urlsplit(request.path).path,
            "&".join(
                name + (f"={_quoted(value)}" if value else "") for name, value in _pairs(request)
            ),
            *(f"{name}:{headers[name].strip()}" for name in named),
            "",
            ";".join(named),
            headers["x-log-content-sha256"],
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"SLS4-HMAC-SHA256\n{headers['x-log-date']}\n{scope}\n{digest}"
    return Claim(
        access_key_id,
        headers["x-acs-security-token"],
        signature,
        lambda secret: _derive(secret, *scope.split("/"), text).hex(),
    )


# Tablestore.


def read_tablestore(request: Request) -> Claim:
    """The claim in a request to Tablestore, signature version 2 or 4."""
    headers = request.headers
    is_v4 = "x-ots-signaturev4" in headers
    text = f"{request.path}\nPOST\n\n{_tablestore_headers(headers)}\n"

    def sign(secret: str) -> str:
        key = _tablestore_key(request, secret)
        return _hmac("sha256", key, text + "ots") if is_v4 else _hmac("sha1", key, text)

    signature = headers["x-ots-signaturev4" if is_v4 else "x-ots-signature"]
    return Claim(headers["x-ots-accesskeyid"], headers["x-ots-ststoken"], signature, sign)


def sign_tablestore_answer(request: Request, headers: Mapping[str, str], secret: str) -> str:
    """The signature of an answer, which the client checks."""
    text = f"{_tablestore_headers(headers)}\n{request.path}"
    return _hmac("sha1", _tablestore_key(request, secret), text)


def _tablestore_key(request: Request, secret: str) -> str:
    if "x-ots-signaturev4" not in request.headers:
        return secret
    date, region = request.headers["x-ots-signdate"], request.headers["x-ots-signregion"]
    return base64.b64encode(_derive(secret, date, region, "ots", "aliyun_v4_request")).decode()


def _tablestore_headers(headers: Mapping[str, str]) -> str:
    return "\n".join(
        f"{name}:{value}"
        for name, value in sorted(headers.items())
        if name.startswith("x-ots-") and not name.startswith("x-ots-signature")
    )


# MaxCompute.


def read_odps(request: Request, prefix: str) -> Claim:
    """The claim in a request to MaxCompute, whose endpoint has ``prefix`` as its path."""
    headers = request.headers
    access_key_id, _, signature = headers["authorization"].removeprefix("ODPS ").partition(":")
    resource = unquote(urlsplit(request.path).path.removeprefix(prefix))
    query = "&".join(name + (f"={value}" if value else "") for name, value in _pairs(request))
    signed = {"content-md5": "", "content-type": ""} | {
        name: value
        for name, value in headers.items()
        if name in ("content-md5", "content-type", "date") or name.startswith("x-odps-")
    }
    text = "\n".join(
        (
            request.method,
            *(
                f"{name}:{signed[name]}" if name.startswith("x-odps-") else signed[name]
                for name in sorted(signed)
            ),
            resource + (f"?{query}" if query else ""),
        )
    )
    token = headers["authorization-sts-token"]
    return Claim(access_key_id, token, signature, lambda secret: _hmac("sha1", secret, text))
