"""What doctor concludes: observations in, findings out; and how long it asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import MovableClock, fake_credentials
from support.doctor_run import diagnose, surroundings

from ecs_role_creds import Credentials, errors
from ecs_role_creds.cli.doctor import known_places
from ecs_role_creds.cli.doctor.bucket_words import put_into_words
from ecs_role_creds.cli.doctor.checks import CHECKS, check_address, check_rotation, run_checks
from ecs_role_creds.cli.doctor.checks_around import (
    check_key_variables,
    check_leftovers,
    check_place,
    check_proxies,
    is_exempt,
)
from ecs_role_creds.cli.doctor.observations import (
    BucketAnswer,
    Exchange,
    Fetched,
    Leftover,
    Observations,
    Place,
)
from ecs_role_creds.cli.doctor.observe import (
    NETWORK_SECONDS,
    Surroundings,
    look_at_place,
    observe,
)
from ecs_role_creds.cli.doctor.probe import describe_body, name_problem
from ecs_role_creds.settings import DEFAULT_ENDPOINT, Settings
from ecs_role_creds.transport import Answer, ExchangeTimeoutError, TransportError

SILENCE = (Exchange("session token", "PUT", "/", 1.25, problem="timed out"),)
NOW = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)


def seen(**parts: object) -> Observations:
    """Observations of a machine where nothing stands out."""
    return Observations({}, Settings(), Place())._replace(**parts)  # type: ignore[arg-type]


def told(check: object, observations: Observations) -> list[str]:
    return [f"{one.result}: {one.reason}" for one in check(observations)]  # type: ignore[operator]


# Off the cloud


class SilentNetwork:
    """Takes all the time that it is given, and answers nothing."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.time_limits: list[float] = []

    def send(self, method: str, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
        self.time_limits.append(timeout)
        self.clock.advance(timeout)
        raise ExchangeTimeoutError("timed out")


def offline(place: Path, environ: Mapping[str, str] = {}) -> Surroundings:
    network = SilentNetwork()
    return surroundings(
        place,
        DEFAULT_ENDPOINT,
        environ,
        send=network.send,
        fetch=never_fetch,
        clock=network.clock,
        network_seconds=NETWORK_SECONDS,
    )


def never_fetch(settings: Settings, timeout: float) -> Credentials:
    raise AssertionError("nothing answers, so nothing is to be fetched")


def test_off_the_cloud_it_asks_once_and_gives_up_within_three_seconds(tmp_path: Path) -> None:
    network = SilentNetwork()
    around = Surroundings({}, tmp_path, tmp_path, network.send, never_fetch, network.clock)
    found = diagnose(["--json"], around)
    assert network.time_limits == [NETWORK_SECONDS]
    assert NETWORK_SECONDS < 3
    assert found.findings["address"] == [
        f"failed: Nothing answers at {DEFAULT_ENDPOINT} within 2.5 s. This does not look like an "
        "ECS instance. Use other credentials here, for example a profile of the aliyun CLI. For "
        "development and tests, run a fake metadata service: ecs-role-creds fake-metadata"
    ]
    assert found.status == 1


def test_the_time_limit_begins_when_the_http_client_is_there(tmp_path: Path) -> None:
    network = SilentNetwork()
    around = Surroundings(
        *({}, tmp_path, tmp_path, network.send, never_fetch, network.clock),
        prepare=lambda: network.clock.advance(10 * NETWORK_SECONDS),
    )
    observe(around)
    assert network.time_limits == [NETWORK_SECONDS]


@given(st.lists(st.floats(0, 3), max_size=6))
def test_all_requests_share_one_time_limit(durations: list[float]) -> None:
    """However long each answer takes, no request begins or may end after the time limit."""
    clock = MovableClock()
    pending = list(durations)
    ends: list[float] = []

    def send(method: str, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
        assert timeout > 0
        ends.append(clock() + timeout)
        taken = pending.pop(0) if pending else 0.0
        if taken >= timeout:
            clock.advance(timeout)
            raise ExchangeTimeoutError("timed out")
        clock.advance(taken)
        body = b"app-role" if url.endswith("security-credentials/") else b"x"
        return Answer(200, {}, body, False)

    def fetch(settings: Settings, timeout: float) -> Credentials:
        ends.append(clock() + timeout)
        return fake_credentials(1, clock)

    nowhere = Path("/nonexistent")
    around = Surroundings({}, nowhere, nowhere, send, fetch, clock, clock.wall)
    begun = clock()
    observe(around)
    assert all(end <= begun + NETWORK_SECONDS + 1e-6 for end in ends)


# The address


@pytest.mark.parametrize(
    ("place", "endpoint", "sentence"),
    [
        (Place(), DEFAULT_ENDPOINT, "This does not look like an ECS instance."),
        (
            Place(is_ecs_hardware=False),
            DEFAULT_ENDPOINT,
            "This does not look like an ECS instance.",
        ),
        (
            Place(is_ecs_hardware=True),
            DEFAULT_ENDPOINT,
            "The hardware says that this is an ECS instance.",
        ),
        (Place("Docker"), DEFAULT_ENDPOINT, "This process runs in a container."),
        (
            Place("Docker", is_ecs_hardware=True),
            DEFAULT_ENDPOINT,
            "The hardware says that this is an ECS instance.",
        ),
        (Place(), "http://127.0.0.1:9", "names this address."),
    ],
)
def test_silence_is_explained_by_the_place(place: Place, endpoint: str, sentence: str) -> None:
    observations = seen(place=place, settings=Settings(endpoint=endpoint), exchanges=SILENCE)
    (line,) = told(check_address, observations)
    assert line.startswith(f"failed: Nothing answers at {endpoint} within 1.2 s.")
    assert line.endswith(sentence)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ExchangeTimeoutError("ConnectionRefusedError: [Errno 111] Connection refused"), "refused"),
        (ExchangeTimeoutError("gaierror: [Errno -2] Name or service not known"), "unknown host"),
        (TransportError("OSError: [Errno 101] Network is unreachable"), "unreachable"),
        (TransportError("OSError: [Errno 113] No route to host"), "unreachable"),
        (ExchangeTimeoutError("timed out"), "timed out"),
        (TransportError("something else"), "unreachable"),
    ],
)
def test_a_failure_has_one_word(error: Exception, problem: str) -> None:
    assert name_problem(error) == problem


# The place


@pytest.mark.parametrize(
    ("files", "environ", "place"),
    [
        ({}, {}, Place()),
        ({".dockerenv": ""}, {}, Place("Docker")),
        ({"run/.containerenv": ""}, {}, Place("Podman")),
        ({"proc/1/cgroup": "0::/docker/abc"}, {}, Place("Docker")),
        ({"proc/1/cgroup": "0::/kubepods/burstable"}, {}, Place("a container")),
        ({}, {"KUBERNETES_SERVICE_HOST": "172.16.0.1"}, Place("Kubernetes")),
        ({}, {"container": "lxc"}, Place("a container")),
        ({"proc/version": "Linux 5.15.90.1-microsoft-standard-WSL2"}, {}, Place(is_wsl=True)),
        ({}, {"WSL_DISTRO_NAME": "Ubuntu"}, Place(is_wsl=True)),
        (
            {"sys/class/dmi/id/product_name": "Alibaba Cloud ECS\n"},
            {},
            Place(is_ecs_hardware=True),
        ),
        ({"sys/class/dmi/id/product_name": "VirtualBox"}, {}, Place(is_ecs_hardware=False)),
    ],
)
def test_the_place_is_recognized(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], place: Place
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert look_at_place(tmp_path, environ) == place
    assert bool(told(check_place, seen(place=place))) is (place != Place())


# Proxies


@pytest.mark.parametrize(
    ("exceptions", "exempt"),
    [
        ("", False),
        ("localhost,127.0.0.1", False),
        ("localhost, 100.100.100.200", True),
        ("*", True),
        ("100.100.0.0/16", True),
        ("100.64.0.0/10", True),
        ("10.0.0.0/8,fd00::/8", False),
        ("100.100.100.200:80", True),
        (".aliyuncs.com", False),
        ("00.100.200", False),
    ],
)
def test_no_proxy_is_read_as_clients_do(exceptions: str, exempt: bool) -> None:
    assert is_exempt("100.100.100.200", exceptions) is exempt


@pytest.mark.parametrize("exceptions", ["metadata.internal", "internal", ".internal", "*.internal"])
def test_no_proxy_knows_names_and_domains(exceptions: str) -> None:
    assert is_exempt("metadata.internal", exceptions)
    assert not is_exempt("metadatainternal", exceptions)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_that_catches_metadata_requests(variable: str) -> None:
    proxy = {variable: "http://user:fake-password@proxy.example:3128"}
    (caught,) = told(check_proxies, seen(environ=proxy))
    expected = f"warning: Other clients send metadata requests through the proxy in {variable}, "
    assert caught.startswith(expected)
    (exempt,) = told(check_proxies, seen(environ={**proxy, "no_proxy": "100.100.100.200"}))
    assert exempt.startswith(f"ok: {variable} is set, and NO_PROXY exempts 100.100.100.200.")
    assert "fake-password" not in caught + exempt


def test_an_https_proxy_catches_nothing() -> None:
    proxy = {"HTTPS_PROXY": "http://proxy.example:3128"}
    assert told(check_proxies, seen(environ=proxy))[0].startswith("ok: No proxy")


# Other credentials


@pytest.mark.parametrize("variables", known_places.KEY_VARIABLES, ids=lambda one: one.names[0])
def test_variables_that_beat_a_role(variables: known_places.KeyVariables) -> None:
    environ = dict.fromkeys(variables.names, "fake-secret-canary")
    lines = told(check_key_variables, seen(environ=environ))
    expected = f"warning: {' and '.join(variables.names)} take precedence over the instance"
    assert any(line.startswith(expected) for line in lines)
    assert "canary" not in "".join(lines)
    for name in variables.names:  # one alone gives no credentials
        lines = told(check_key_variables, seen(environ={**environ, name: ""}))
        assert lines == ["ok: No variable makes an SDK use other credentials than the role's."]


def test_an_aws_pair_counts_where_the_endpoint_is_oss() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "fake", "AWS_ENDPOINT_URL_S3": "https://oss-cn.aliyuncs.com"}
    (line,) = told(check_key_variables, seen(environ=environ))
    assert line.startswith("warning: AWS_ACCESS_KEY_ID is set and AWS_ENDPOINT_URL_S3 points to")
    (line,) = told(check_key_variables, seen(environ={"AWS_ACCESS_KEY_ID": "fake"}))
    assert line.startswith("ok")


# Made at run time, so that no scanner takes this file for a leak.
KEY_ID = "LTAI" + "5tQz8WnR3bYk2LmVp7Xc"
KEY_SECRET = "Qw3rTy7uIoP1aSdF" + "9gHjK5lZxC2vBn"

CONTENTS = {
    "~/.aliyun/config.json": json.dumps(
        {
            "current": "default",
            "profiles": [{"mode": "AK", "access_key_id": KEY_ID, "access_key_secret": KEY_SECRET}],
        },
        indent="\t",
    ),
    "~/.fcli/config.yaml": f"access_key_id: {KEY_ID}\naccess_key_secret: {KEY_SECRET}\n",
    "~/.passwd-ossfs": f"bucket:{KEY_ID}:{KEY_SECRET}\n",
    "/etc/passwd-ossfs": f"bucket:{KEY_ID}:{KEY_SECRET}\n",
}
INI = f"[default]\naccess_key_id = {KEY_ID}\naccess_key_secret = {KEY_SECRET}\n"


@pytest.mark.parametrize("file", known_places.KEY_FILES, ids=lambda one: one.path)
def test_pairs_in_files_of_other_programs(tmp_path: Path, file: known_places.KeyFile) -> None:
    around = offline(tmp_path)
    path = around.home / file.path[2:] if file.path.startswith("~") else around.root / file.path[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONTENTS.get(file.path, INI))
    found = diagnose(["--json"], around)
    (line,) = found.findings["leftovers"]
    assert line.startswith(f"warning: {file.path} contains an AccessKey pair. It is read by ")
    assert file.read_by in line
    assert KEY_SECRET not in found.text
    assert KEY_ID not in found.text


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(
            {"profiles": [{"mode": "EcsRamRole", "access_key_id": "", "ram_role_name": "r"}]}
        ),
        "[default]\ntype = ecs_ram_role\nrole_name = app-role\n",
        "[default]\naccess_key_id = STS.FAKE0001\naccess_key_secret = fake-secret-0001\n",
        "[default]\naccess_key_id = <your AccessKey id>\n",
        "",
        "\x00\xff",
    ],
)
def test_files_without_a_pair(tmp_path: Path, content: str) -> None:
    around = offline(tmp_path)
    (around.home / ".aliyun").mkdir()
    (around.home / ".aliyun/config.json").write_bytes(content.encode("latin-1"))
    (line,) = diagnose(["--json"], around).findings["leftovers"]
    assert line == "ok: No configuration file of another program contains an AccessKey pair."


def test_the_file_that_a_variable_names(tmp_path: Path) -> None:
    named = tmp_path / "root/etc/profiles.ini"
    environ = {known_places.CREDENTIALS_FILE: "/etc/profiles.ini"}
    around = offline(tmp_path, environ)
    named.write_text(INI)
    (line,) = diagnose(["--json"], around).findings["leftovers"]
    assert line.startswith("warning: /etc/profiles.ini contains an AccessKey pair")


def test_a_file_that_cannot_be_read() -> None:
    (line,) = told(
        check_leftovers, seen(leftovers=(Leftover("~/.ossutilconfig", "ossutil", False),))
    )
    assert line == "note: ~/.ossutilconfig (read by ossutil) cannot be read by this user."


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    around = offline(tmp_path)
    (around.home / ".ossutilconfig").mkdir()
    (line,) = diagnose(["--json"], around).findings["leftovers"]
    assert line == "note: ~/.ossutilconfig (read by ossutil) cannot be read by this user."


# Rotation


@pytest.mark.parametrize(
    ("life", "line"),
    [
        (6 * 3600, "ok: The service rotates the credentials at about 17:30 UTC, in 5 h 30 min."),
        (1801, "ok: The service rotates the credentials at about 12:00 UTC, in 1 s."),
        (1800, "ok: The service is about to rotate the credentials."),
        (901, "ok: The service is about to rotate the credentials."),
        (
            900,
            "warning: The credentials expire in 15 min, and the service has not rotated them yet",
        ),
        (30, "warning: The credentials expire in 30 s, and the service has not rotated them yet"),
    ],
)
def test_rotation(life: float, line: str) -> None:
    fetched = Fetched("app-role", NOW + timedelta(seconds=life), life)
    assert told(check_rotation, seen(fetched=fetched))[0].startswith(line)


# OSS


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (BucketAnswer("b", 200), "ok: OSS accepted a signed request to list the bucket b."),
        (
            BucketAnswer("b", 404, "NoSuchBucket", request_id="ABC123"),
            "failed: OSS accepted the signature, but there is no bucket b. (request id ABC123)",
        ),
        (BucketAnswer("b", 403, "AccessDenied"), "warning: OSS accepted the signature, but the"),
        (
            BucketAnswer("b", 403, "AccessDenied", "oss-cn-beijing.aliyuncs.com"),
            "failed: The bucket b has another endpoint.",
        ),
        (
            BucketAnswer("b", 403, "SignatureDoesNotMatch"),
            "failed: OSS computed another signature.",
        ),
        (BucketAnswer("b", 403, "InvalidAccessKeyId"), "failed: OSS does not know the AccessKey"),
        (
            BucketAnswer("b", 403, "SecurityTokenExpired"),
            "failed: OSS says that the security token",
        ),
        (
            BucketAnswer("b", 403, "InvalidSecurityToken"),
            "failed: OSS does not accept the security",
        ),
        (
            BucketAnswer("b", 403, "RequestTimeTooSkewed"),
            "failed: OSS refuses the request because this machine's clock",
        ),
        (
            BucketAnswer("B", 400, "InvalidBucketName"),
            "failed: OSS says that B is not a valid bucket name",
        ),
        (BucketAnswer("b", 403, "UserDisable"), "failed: OSS says that the account is disabled."),
        (BucketAnswer("b", 418, "Teapot"), "failed: OSS answered 418 with Teapot."),
        (BucketAnswer("b", 502), "failed: OSS answered 502 with no error code."),
        (BucketAnswer("b"), "failed: OSS does not answer at that endpoint."),
        (BucketAnswer("b", problem="why."), "failed: No request was sent to OSS: why."),
    ],
)
def test_what_oss_said(answer: BucketAnswer, sentence: str) -> None:
    finding = put_into_words(answer)
    line = f"{finding.result}: {finding.reason}"
    assert line.startswith(sentence.removesuffix(".").rstrip())
    assert finding.result in ("ok",) or finding.advice or answer.problem


# All of it


def test_bad_settings_are_told() -> None:
    observations = seen(settings=errors.ConfigurationError("role_name is 'a/b'; write it so"))
    lines = [f"{name}: {one.result}" for name, one in run_checks(observations)]
    assert lines[0] == "settings: failed"
    assert "address: skipped" in lines


def test_every_check_is_documented() -> None:
    page = Path(__file__).parents[2] / "docs/how-to/diagnose-with-doctor.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in CHECKS if f"| {name} |" not in text] == []


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (b"app-role", "text, 8 bytes"),
        (b"<html/>", "markup, 7 bytes"),
        (b"[1]", "JSON list, 3 bytes"),
        (b'"a"', "JSON str, 3 bytes"),
        (b"12345", "text, 5 bytes"),
        (
            b'{"Code": "Success", "AccessKeyId": "STS.FAKE", "Expiration": "2030-01-01T00:00:00Z"}',
            "JSON object: AccessKeyId (8 characters), Code Success, "
            "Expiration 2030-01-01T00:00:00Z",
        ),
        (
            b'{"Expiration": "fake-secret-canary", "fake-secret-canary": 1}',
            "JSON object: Expiration (18 characters), another key (int)",
        ),
    ],
)
def test_shapes(body: bytes, shape: str) -> None:
    assert describe_body(body) == shape


@given(st.binary(max_size=60))
def test_a_shape_quotes_nothing(body: bytes) -> None:
    described = describe_body(body)
    assert described.isprintable()
    assert describe_body(body, is_oversized=True) == "more than 64 KiB"


EXCHANGES = st.builds(
    Exchange,
    st.sampled_from(["session token", "normal mode", "role name", "role document"]),
    st.just("GET"),
    st.just("/"),
    st.floats(0, 3),
    st.none() | st.integers(100, 599),
    st.sampled_from(
        [None, "timed out", "refused", "closed", "no HTTP", "unknown host", "unreachable"]
    ),
    date=st.none() | st.datetimes(timezones=st.just(timezone.utc)),
    answered_at=st.none() | st.datetimes(timezones=st.just(timezone.utc)),
    role_name=st.none() | st.just("app-role"),
)
FETCHED = st.one_of(
    st.none(),
    st.just(errors.NoRoleAttachedError("No role.")),
    st.builds(
        Fetched,
        st.none() | st.just("app-role"),
        st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(timezone.utc)),
        st.floats(0, 43200),
    ),
)


@given(st.lists(EXCHANGES, max_size=4), FETCHED, st.booleans())
def test_whatever_was_seen_is_put_into_sentences(
    exchanges: list[Exchange], fetched: object, is_pinned: bool
) -> None:
    settings = Settings("other-role" if is_pinned else None)
    observations = seen(settings=settings, exchanges=tuple(exchanges), fetched=fetched)
    for _, finding in run_checks(observations):
        assert finding.reason.endswith(".")
        assert finding.reason.isprintable()
        assert not finding.advice or finding.advice.endswith((".", "required", "fake-metadata"))
