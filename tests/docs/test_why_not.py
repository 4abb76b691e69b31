"""What "Why not ..." says of others is so: figures, functions, and what the packages do.

A figure counts as right while it is of the size of the measured one: within a factor of two, and
counts within a quarter. A function is looked up only in the version that the page names.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import json
import logging
import re
import threading
import types
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.figures import DOCS, quantities, section

from ecs_role_creds.testing import FakeMetadataServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import alibabacloud_credentials.provider.ecs_ram_role as official
    import aliyunsdkcore.auth.signers.ecs_ram_role_signer as signers
    from alibabacloud_credentials.http import HttpOptions
    from alibabacloud_credentials.provider.cli_profile import CLIProfileCredentialsProvider
    from alibabacloud_credentials.provider.profile import ProfileCredentialsProvider
    from alibabacloud_credentials.provider.refreshable import RefreshCachedSupplier
    from alibabacloud_oss_v2.credentials import provider_impl
    from aliyunsdkcore.auth.credentials import EcsRamRoleCredential
    from botocore.utils import InstanceMetadataFetcher

PAGE = DOCS / "explanation" / "why-not.md"
TEXT = PAGE.read_text(encoding="utf-8")

# Figures.

_CLAIM = re.compile(
    r"\[([^\]]+)\]\((?:\.\./)?(?:explanation/)?((?:benchmarks|scale)\.md)#([\w-]+)\)([^|;]*)"
)


class Claim(NamedTuple):
    """A link to figures, with what the page says of them."""

    page: Path
    anchor: str
    text: str


def claims() -> list[Claim]:
    found = []
    for match in _CLAIM.finditer(TEXT):
        shown, page, anchor, after = match.groups()
        folder = DOCS / "explanation" if page == "scale.md" else DOCS
        # The title of a section may have numbers, too. A statement ends with its sentence.
        said = re.split(r"[.:](?:\s|$)|\n\n", after)[0]
        figure = shown if re.match(r"\d[\d.,]* (ns|µs|ms|s|minutes)", shown) else ""
        found.append(Claim(folder / page, anchor, f"{figure} {said}"))
    return found


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: f"{claim.anchor}: {claim.text[:40]}")
def test_figures_are_those_that_were_measured(claim: Claim) -> None:
    said, measured = quantities(claim.text), quantities(section(claim.page, claim.anchor))
    unknown = [one for one in said if not any(one.is_like(other) for other in measured)]
    assert unknown == [], f"{claim.page.name}, {claim.anchor}, has no such figures: {claim.text}"


def test_only_the_wrapper_tore_credentials() -> None:
    rows = section(DOCS / "benchmarks.md", "rotation-under-load").splitlines()
    cells = [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows]
    torn = {row[0]: int(row[4]) for row in cells if len(row) == 6 and row[4].isdigit()}
    assert [name for name, count in torn.items() if count] == ["OSS guide, three getters"]


def test_most_claims_have_figures() -> None:
    assert sum(bool(quantities(claim.text)) for claim in claims()) >= 10


@pytest.mark.parametrize(
    ("one", "other", "is_like"),
    [("5 µs", "9 µs", True), ("5 µs", "11 µs", False), ("5 µs", "5 ms", False),
     ("over 3 s", "3.01 s", True), ("1,822", "1,900", True), ("20 threads", "40", False),
     ("0 threads", "2", False), ("18.7 MiB", "18.7", False)],
)  # fmt: skip
def test_figures_of_one_size(one: str, other: str, is_like: bool) -> None:
    assert quantities(one)[0].is_like(quantities(other)[0]) is is_like


# Functions.

_READ = re.compile(r"([\w-]+) (\d+(?:\.\d+)+), (`[^|]+?)(?= \||\. [A-Z]|\. *\|)")
_FILE = re.compile(r"`([\w/]+\.py)`((?:(?:,| and) `[\w.]+`(?!/))*)")


class Source(NamedTuple):
    """A function that the page names."""

    package: str
    version: str
    file: str
    names: tuple[str, ...]


def sources() -> list[Source]:
    return [
        Source(package, version, file, tuple(re.findall(r"`([\w.]+)`", names)))
        for package, version, rest in _READ.findall(TEXT)
        for file, names in _FILE.findall(rest)
    ]


def defined(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name
            yield from defined(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("source", sources(), ids=lambda source: f"{source.file}:{source.names}")
def test_functions_are_where_the_page_says(source: Source) -> None:
    distribution = importlib.metadata.distribution(source.package)
    if distribution.version != source.version:
        pytest.skip(f"{source.package} {distribution.version} is installed; read it, and say so")
    path = Path(str(distribution.locate_file(source.file)))
    names = set(defined(ast.parse(path.read_text(encoding="utf-8"))))
    assert set(source.names) <= names


def test_every_reading_names_a_file() -> None:
    assert len(sources()) >= TEXT.count("Read: ") > 10
    without = [source.file for source in sources() if not source.names]
    assert without == ["alibabacloud_credentials/provider/refreshable.py"]  # its module level


# What the packages do.


def official_provider(server: FakeMetadataServer) -> Any:
    provider = official.EcsRamRoleCredentialsProvider(
        role_name="app-role",
        async_update_enabled=False,
        http_options=HttpOptions(connect_timeout=60_000, read_timeout=60_000),  # its own are 1 s
    )
    host = server.endpoint.removeprefix("http://")
    provider._EcsRamRoleCredentialsProvider__metadata_service_host = host
    return provider


def test_official_one_falls_back_to_the_normal_mode_after_any_failure(
    ecs_metadata: FakeMetadataServer,
) -> None:
    ecs_metadata.fail(500, on="token")
    official_provider(ecs_metadata).get_credentials()
    last = ecs_metadata.requests[-1]
    assert (last.method, last.status) == ("GET", 200)
    assert "x-aliyun-ecs-metadata-token" not in last.headers


def test_official_one_stops_the_event_loop_for_a_second_coroutine(
    ecs_metadata: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For five seconds; here for as long as the lock is made to wait."""
    assert RefreshCachedSupplier.REFRESH_BLOCKING_MAX_WAIT == 5
    monkeypatch.setattr(RefreshCachedSupplier, "REFRESH_BLOCKING_MAX_WAIT", 0.3)
    provider = official_provider(ecs_metadata)
    lock, taken = provider._credentials_cache._refresh_lock, []

    class Watched:
        def acquire(self, timeout: float) -> bool:
            taken.append(threading.get_ident())
            acquired: bool = lock.acquire(timeout=timeout)
            taken.append(acquired)
            return acquired

        def release(self) -> None:
            lock.release()

    provider._credentials_cache._refresh_lock = Watched()

    async def run() -> None:
        await asyncio.gather(provider.get_credentials_async(), provider.get_credentials_async())

    asyncio.run(run())
    here = threading.get_ident()  # the thread of the event loop
    assert taken == [here, True, here, False]  # the second waits on it, until the lock's time-out


class _Proxy(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_error(502)

    do_GET = do_PUT  # noqa: N815 - the base class looks for it

    def log_message(self, *args: object) -> None:
        pass


def test_official_one_uses_a_proxy_that_no_proxy_rules_out(monkeypatch: pytest.MonkeyPatch) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Proxy)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "100.100.100.200")
    provider = official.EcsRamRoleCredentialsProvider(
        role_name="app-role", async_update_enabled=False
    )
    try:
        with pytest.raises(Exception, match="HttpCode=502"):
            provider.get_credentials()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "http://100.100.100.200/latest/api/token" in server.asked  # type: ignore[attr-defined]


def test_official_one_adds_a_handler_when_imported() -> None:
    assert any(
        type(handler) is logging.StreamHandler
        for handler in logging.getLogger("credentials").handlers
    )


def sts_profile(token: str) -> dict[str, str]:
    return {"access_key_id": "STS.FAKE", "access_key_secret": "FAKE", "sts_token": token}


def test_official_one_reads_its_files_once(tmp_path: Path) -> None:
    config = tmp_path / "config.json"

    def write_config(token: str) -> None:
        profile = {"name": "default", "mode": "StsToken", **sts_profile(token)}
        config.write_text(json.dumps({"current": "default", "profiles": [profile]}))

    write_config("FAKE-1")
    by_cli = CLIProfileCredentialsProvider(profile_file=str(config))
    assert by_cli.get_credentials().get_security_token() == "FAKE-1"
    write_config("FAKE-2")
    assert by_cli.get_credentials().get_security_token() == "FAKE-1"

    ini = tmp_path / "credentials.ini"

    def write_ini(key: str) -> None:
        ini.write_text(
            f"[default]\ntype = access_key\naccess_key_id = {key}\naccess_key_secret = FAKE\n"
        )

    write_ini("FAKE-1")
    by_ini = ProfileCredentialsProvider(profile_file=str(ini), profile_name="default")
    assert by_ini.get_credentials().get_access_key_id() == "FAKE-1"
    write_ini("FAKE-2")
    assert by_ini.get_credentials().get_access_key_id() == "FAKE-1"


def test_oss_v2_has_no_provider_for_the_instances_role(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name for name in vars(provider_impl) if name.endswith(("Provider", "ProviderFunc"))}
    assert names - {"CredentialsProvider"} == {
        "AnonymousCredentialsProvider",
        "StaticCredentialsProvider",
        "EnvironmentVariableCredentialsProvider",
        "CredentialsProviderFunc",
    }
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", "FAKE-1")
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "FAKE")
    provider = provider_impl.EnvironmentVariableCredentialsProvider()
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", "FAKE-2")
    assert provider.get_credentials().access_key_id == "FAKE-1"


def test_boto3_finds_no_credentials_here(ecs_metadata: FakeMetadataServer) -> None:
    fetcher = InstanceMetadataFetcher(base_url=f"{ecs_metadata.endpoint}/")
    assert fetcher.retrieve_iam_role_credentials() == {}
    ecs_metadata.fail(404, on="token")  # then it tries without a session token
    assert fetcher.retrieve_iam_role_credentials() == {}
    assert {"/latest/api/token", "/latest/meta-data/iam/security-credentials/"} <= {
        request.path for request in ecs_metadata.requests
    }


LIFE, ISSUED_EARLIER = 6 * 3600, 30 * 60
DAYS = 7


def test_sdk_core_signs_with_expired_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its signer on a virtual clock. A token is named by its number, and ends at ``ends()``."""
    now = 0
    between = LIFE - ISSUED_EARLIER  # from one token to the next

    def ends(number: int) -> int:
        return number * between + LIFE

    def urlopen(url: str) -> Any:
        document = {"Code": "Success", "AccessKeyId": str(now // between)}
        return types.SimpleNamespace(read=lambda: json.dumps(document).encode())

    monkeypatch.setattr(signers, "urlopen", urlopen)
    monkeypatch.setattr(signers, "time", types.SimpleNamespace(time=lambda: now))
    minutes, longest = 0, 0
    starts = range(0, between, 60)
    for start in starts:
        signer = signers.EcsRamRoleSigner(EcsRamRoleCredential("app-role"))
        signer._last_update_time = -LIFE  # never, on a clock that begins at 0
        stretch = 0
        for now in range(start, start + DAYS * 86400, 60):
            signer._check_session_credential()
            is_expired = now >= ends(int(signer._session_credential[0]))
            stretch = stretch + 1 if is_expired else 0
            minutes += is_expired
            longest = max(longest, stretch)
    assert len(starts) == 330
    assert longest == 24
    assert round(minutes / DAYS / len(starts)) == 24
