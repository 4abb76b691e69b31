"""Requests that break off or make no sense: an answer with 400, nothing stored, a server that
goes on."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.oss_clients import oss2, presigned_url, signed_request
from support.plain_http import wait_until

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss
from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.loopback import LoopbackServer


@pytest.fixture
def oss(ecs_metadata: FakeMetadataServer) -> Iterator[FakeOss]:
    with FakeOss(ecs_metadata, ["pictures"]) as oss:
        oss.put("pictures", "a", b"the old content")
        yield oss


@pytest.fixture
def auth() -> Any:
    return oss2.ProviderAuthV4(EcsRamRoleCredentialsProvider())


def exchange(endpoint: str, message: bytes) -> bytes:
    """Send bytes, and no more; everything that comes back until the server closes."""
    host, port = endpoint.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host.strip("[]"), int(port)), timeout=300) as connection:
        connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def put_with(oss: FakeOss, auth: Any, headers: str, body: bytes) -> bytes:
    """PUT the object with a presigned URL, and whatever headers and body."""
    url = presigned_url(oss, auth, "PUT", ("pictures", "a")).removeprefix(oss.endpoint)
    head = f"PUT {url} HTTP/1.1\r\nHost: fake\r\n{headers}\r\n\r\n"
    return exchange(oss.endpoint, head.encode() + body)


def still_serves(oss: FakeOss, auth: Any) -> None:
    assert oss.objects["pictures"]["a"].content == b"the old content"
    assert signed_request(oss, auth, "GET", ("pictures", "a")).content == b"the old content"


def test_a_short_body_replaces_nothing(oss: FakeOss, auth: Any) -> None:
    answer = put_with(oss, auth, "Content-Length: 1000", b"1234")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"<Code>IncompleteBody</Code>" in answer
    assert (oss.requests[-1].status, oss.requests[-1].code) == (400, "IncompleteBody")
    still_serves(oss, auth)


def test_a_client_that_dies_replaces_nothing(oss: FakeOss, auth: Any) -> None:
    url = presigned_url(oss, auth, "PUT", ("pictures", "a")).removeprefix(oss.endpoint)
    host, port = oss.endpoint.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=300)
    head = f"PUT {url} HTTP/1.1\r\nHost: fake\r\nContent-Length: 1000\r\n\r\n"
    connection.sendall(head.encode() + b"1234")
    connection.close()
    still_serves(oss, auth)


def test_a_request_that_arrives_while_the_server_stops_is_no_error(oss: FakeOss, auth: Any) -> None:
    """pytest fails the test if the server's thread ends with an exception."""
    url = presigned_url(oss, auth, "PUT", ("pictures", "a")).removeprefix(oss.endpoint)
    host, port = oss.endpoint.removeprefix("http://").split(":")
    head = f"PUT {url} HTTP/1.1\r\nHost: fake\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=300) as connection:
        connection.sendall(head.encode() + b"1234")
        wait_until(lambda: any(busy.locked() for busy in list(oss._connections.values())))
        oss.stop()
    assert oss.objects["pictures"]["a"].content == b"the old content"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Content-Length: many", b""),
        ("Content-Length: -1", b""),
        ("Content-Length: 1\r\nContent-Length: 2", b"x"),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked", b"x"),
        ("Transfer-Encoding: gzip", b"x"),
        ("Transfer-Encoding: chunked", b""),
        ("Transfer-Encoding: chunked", b"many\r\nx\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"-5\r\nx\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"5\r\n123"),
        ("Transfer-Encoding: chunked", b"3\r\n123\r\n"),
        ("Transfer-Encoding: chunked", b"3\r\n12345\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"3\r\n123\r\n0\r\nno header\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"3\r\n123\r\n0\r\n"),
        ("Content-Length: 9999999999999", b"x"),
        ("Transfer-Encoding: chunked", b"ffffffffffff\r\nx"),
    ],
)
def test_bad_bodies(oss: FakeOss, auth: Any, headers: str, body: bytes) -> None:
    answer = put_with(oss, auth, headers, body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"<Error><Code>" in answer
    still_serves(oss, auth)


def test_chunked_bodies(oss: FakeOss, auth: Any) -> None:
    answer = put_with(
        oss, auth, "Transfer-Encoding: chunked", b"3\r\nnew\r\n1;x=y\r\n!\r\n0\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert oss.objects["pictures"]["a"].content == b"new!"
    bucket = oss2.Bucket(auth, oss.endpoint, "pictures", region=oss.region)
    bucket.put_object("b", iter([b"one ", b"two"]))  # oss2 sends chunks
    assert oss.objects["pictures"]["b"].content == b"one two"


def test_trailing_headers_are_refused(oss: FakeOss, auth: Any) -> None:
    body = b"1\r\nx\r\n0\r\nx-oss-meta-late: 1\r\n\r\n"
    answer = put_with(oss, auth, "Transfer-Encoding: chunked", body)
    assert b"<Code>NotImplemented</Code>" in answer
    assert b"the trailing header x-oss-meta-late" in answer
    still_serves(oss, auth)


def test_repeated_headers_are_joined(oss: FakeOss, auth: Any) -> None:
    headers = {"x-oss-meta-a": "1, 2"}
    url = presigned_url(oss, auth, "PUT", ("pictures", "b"), {}, headers)
    path = url.removeprefix(oss.endpoint)
    head = (
        f"PUT {path} HTTP/1.1\r\nHost: fake\r\nx-oss-meta-a: 1\r\nX-Oss-Meta-A: 2\r\n"
        "Content-Length: 1\r\n\r\nx"
    )
    assert exchange(oss.endpoint, head.encode()).startswith(b"HTTP/1.1 200 ")
    assert oss.objects["pictures"]["b"].headers["x-oss-meta-a"] == "1, 2"


def test_signed_headers_of_a_url_count(oss: FakeOss, auth: Any) -> None:
    headers = {"x-oss-meta-a": "1", "Content-Type": "text/plain"}
    url = presigned_url(oss, auth, "PUT", ("pictures", "b"), {}, headers)
    assert requests.put(url, b"x", timeout=300).status_code == 403
    other = {**headers, "x-oss-meta-a": "2"}
    assert requests.put(url, b"x", headers=other, timeout=300).status_code == 403
    assert requests.put(url, b"x", headers=headers, timeout=300).status_code == 200


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"max-keys": "many"}, "InvalidArgument"),
        ({"max-keys": "0"}, "InvalidArgument"),
        ({"max-keys": "-1"}, "InvalidArgument"),
        ({"max-keys": "٣"}, "InvalidArgument"),
        ({"list-type": "3"}, "InvalidArgument"),
        ({"list-type": "2", "fetch-owner": "perhaps"}, "InvalidArgument"),
        ({"uploads": "", "max-uploads": "many"}, "InvalidArgument"),
    ],
)
def test_bad_parameters(oss: FakeOss, auth: Any, params: dict[str, str], code: str) -> None:
    answer = signed_request(oss, auth, "GET", ("pictures", ""), params)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (400, True)
    still_serves(oss, auth)


@pytest.mark.parametrize("key", ["/a", "\\a", "x" * 1024, "ü" * 512])
def test_names_that_oss_refuses(oss: FakeOss, auth: Any, key: str) -> None:
    answer = signed_request(oss, auth, "PUT", ("pictures", key), body=b"x")
    assert (answer.status_code, "InvalidObjectName" in answer.text) == (400, True)
    assert list(oss.objects["pictures"]) == ["a"]


def test_a_name_must_be_utf8(oss: FakeOss) -> None:
    oss.objects["pictures"].acl = "public-read-write"
    answer = exchange(
        oss.endpoint, b"PUT /pictures/%ff HTTP/1.1\r\nHost: fake\r\nContent-Length: 1\r\n\r\nx"
    )
    assert b"<Code>InvalidObjectName</Code>" in answer


@pytest.mark.parametrize("name", ["ab", "UPPER", "-a-b", "a.b", "x" * 64])
def test_bucket_names_that_oss_refuses(oss: FakeOss, auth: Any, name: str) -> None:
    answer = signed_request(oss, auth, "PUT", (name, ""))
    assert (answer.status_code, "InvalidBucketName" in answer.text) == (400, True)


def test_the_length_must_be_known(oss: FakeOss, auth: Any) -> None:
    answer = put_with(oss, auth, "X-Nothing: 1", b"")
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b"<Code>MissingContentLength</Code>" in answer
    still_serves(oss, auth)


def test_a_parameter_twice(oss: FakeOss) -> None:
    oss.objects["pictures"].acl = "public-read"
    answer = requests.get(f"{oss.endpoint}/pictures/?prefix=a&prefix=b", timeout=300)
    assert (answer.status_code, "prefix is given 2 times" in answer.text) == (400, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete>",
        b"<Other/>",
        b"<Delete/>",
        b"<Delete><Object><Key>a</Key><VersionId>1</VersionId></Object></Delete>",
        b"<!DOCTYPE x [<!ENTITY y 'z'>]><Delete><Object><Key>&y;</Key></Object></Delete>",
        b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>",
    ],
)
def test_bad_xml(oss: FakeOss, auth: Any, body: bytes) -> None:
    answer = signed_request(oss, auth, "POST", ("pictures", ""), {"delete": ""}, body=body)
    assert (answer.status_code, "<Code>MalformedXML</Code>" in answer.text) == (400, True)
    still_serves(oss, auth)


def test_a_quiet_delete_answers_nothing(oss: FakeOss, auth: Any) -> None:
    body = b"<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>"
    answer = signed_request(oss, auth, "POST", ("pictures", ""), {"delete": ""}, body=body)
    assert (answer.status_code, answer.content) == (200, b"")
    assert list(oss.objects["pictures"]) == []


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer_or_a_closed_connection(
    oss: FakeOss, auth: Any, sent: bytes
) -> None:
    exchange(oss.endpoint, b"PUT /pictures/a HTTP/1.1\r\n" + sent)
    exchange(oss.endpoint, sent)
    assert signed_request(oss, auth, "GET", ("pictures", "a")).status_code == 200
    assert oss.objects["pictures"]["a"].content == b"the old content"


# Signatures that cannot be verified here, and what is recorded of refused requests.


@pytest.mark.parametrize(
    ("authorization", "named"),
    [
        ("OSS2 AccessKeyId:STS.FAKE1,Signature:x", "STS.FAKE1"),
        (
            "AWS4-HMAC-SHA256 Credential=STS.FAKE2/20260101/r/s3/aws4_request, "
            "SignedHeaders=host, Signature=x",
            "STS.FAKE2",
        ),
        ("AWS STS.FAKE3:x", None),
    ],
)
def test_unverified_signatures_say_so(oss: FakeOss, authorization: str, named: str | None) -> None:
    answer = requests.get(
        f"{oss.endpoint}/pictures/a", headers={"Authorization": authorization}, timeout=60
    )
    assert (answer.status_code, "<Code>NotImplemented</Code>" in answer.text) == (400, True)
    assert "version 1 (Authorization: OSS ...) and version 4" in answer.text
    assert oss.refused[-1].access_key_id == named


def test_refused_requests_record_the_access_key_id(oss: FakeOss) -> None:
    other = oss2.StsAuth("STS.FAKEother", "fake-secret-x", "fake-security-token-x")
    with pytest.raises(oss2.exceptions.ServerError):
        oss2.Bucket(other, oss.endpoint, "pictures").get_object("a")
    url = oss2.Bucket(other, oss.endpoint, "pictures").sign_url("GET", "a", 60)
    assert requests.get(url, timeout=300).status_code == 403
    assert [one.access_key_id for one in oss.refused] == ["STS.FAKEother"] * 2
    assert {one.code for one in oss.refused} == {"InvalidAccessKeyId"}
    assert {one.kind for one in oss.refused} == {"get-object"}


def test_errors_have_the_form_of_oss(oss: FakeOss, auth: Any) -> None:
    answer = signed_request(oss, auth, "GET", ("pictures", "nowhere"))
    request_id = answer.headers["x-oss-request-id"]
    assert answer.headers["Content-Type"] == "application/xml"
    assert answer.headers["x-oss-ec"] == "0026-00000001"
    for part in (
        "<Code>NoSuchKey</Code>",
        "<Message>The specified key does not exist.</Message>",
        f"<RequestId>{request_id}</RequestId>",
        f"<HostId>{oss.endpoint.removeprefix('http://')}</HostId>",
        "<Key>nowhere</Key>",
        "<EC>0026-00000001</EC>",
    ):
        assert part in answer.text
    answer = signed_request(oss, auth, "HEAD", ("pictures", "nowhere"))
    assert answer.content == b""
    assert b"<Code>NoSuchKey</Code>" in base64.b64decode(answer.headers["x-oss-err"])


# The server under it.


class Broken(LoopbackServer):
    """A fake with a bug."""

    def handle(self, request: Request) -> Response:
        raise ZeroDivisionError("a bug")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_fake_is_answered_with_500() -> None:
    with Broken() as server:
        answer = requests.get(server.endpoint, timeout=300)
        assert (answer.status_code, "ZeroDivisionError: a bug" in answer.text) == (500, True)
        assert requests.get(server.endpoint, timeout=300).status_code == 500


def ipv6_is_here() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not ipv6_is_here(), reason="this machine has no IPv6 loopback")
def test_ipv6() -> None:
    with FakeMetadataServer(host="::1") as metadata, FakeOss(metadata, host="::1") as oss:
        assert metadata.endpoint.startswith("http://[::1]:")
        provider = EcsRamRoleCredentialsProvider(endpoint=metadata.endpoint)
        # oss2 itself does not take IPv6 endpoints; its signature does not depend on them.
        auth = oss2.ProviderAuthV4(provider)
        assert signed_request(oss, auth, "PUT", ("bucket", "a"), body=b"x").status_code == 200
        assert signed_request(oss, auth, "GET", ("bucket", "a")).content == b"x"


# What a test gets wrong.


def test_bad_arguments(ecs_metadata: FakeMetadataServer) -> None:
    with pytest.raises(TypeError, match=r"pass a list of names, such as \['pics'\]"):
        FakeOss(ecs_metadata, "pics")
    with pytest.raises(ValueError, match="does not take the bucket name 'p'"):
        FakeOss(ecs_metadata, ["p"])
    with pytest.raises(ValueError, match="there is a bucket 'pics' already"):
        FakeOss(ecs_metadata, ["pics", "pics"])


def test_bad_seeds(oss: FakeOss) -> None:
    with pytest.raises(KeyError, match="there is no bucket 'elsewhere'; there are: pictures"):
        oss.objects["elsewhere"]["k"] = b""
    with pytest.raises(KeyError, match="there is no bucket 'elsewhere'"):
        oss.put("elsewhere", "k", b"")
    with pytest.raises(TypeError, match="cannot store int as 'k'; pass bytes"):
        oss.objects["pictures"]["k"] = 5  # type: ignore[assignment]
    with pytest.raises(ValueError, match="does not take the key '/k'"):
        oss.objects["pictures"]["/k"] = b""
    with pytest.raises(ValueError, match="does not know the headers mime-type"):
        oss.put("pictures", "k", b"", mime_type="image/png")
    with pytest.raises(ValueError, match="x-oss-tagging"):
        oss.put("pictures", "k", b"", **{"x-oss-tagging": "a=*"})
    with pytest.raises(TypeError, match="cannot make a bucket of int"):
        oss.objects["other"] = 5  # type: ignore[assignment]
    with pytest.raises(ValueError, match="does not take the bucket name"):
        oss.objects["Other"] = {}  # type: ignore[assignment]
    oss.objects["other"] = {"k": b"x"}  # type: ignore[assignment,dict-item]
    assert oss.objects["other"]["k"].content == b"x"
    assert list(oss.objects["pictures"]) == ["a"]
