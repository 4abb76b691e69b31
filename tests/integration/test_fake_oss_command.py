"""``ecs-role-creds fake-oss``, as a process of its own, and the ``ecs_oss`` fixture."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from support.oss_clients import oss2

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss, fake_metadata

COMMAND = [sys.executable, "-m", "ecs_role_creds", "fake-oss"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and the variables it printed."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        assert all(line.startswith("export ") for line in lines), lines
        yield process, dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_interrupted(ended_by: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(b"a picture")
    arguments = ("--bucket", "pictures", "--bucket", "more", "--region", "cn-here", "--put")
    with running(*arguments, str(file)) as (process, variables):
        assert (variables["OSS_REGION"], variables["OSS_BUCKET"]) == ("cn-here", "pictures")
        provider = EcsRamRoleCredentialsProvider(
            endpoint=variables["ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT"]
        )
        bucket = oss2.Bucket(
            oss2.ProviderAuthV4(provider), variables["OSS_ENDPOINT"], "pictures", region="cn-here"
        )
        picture = bucket.get_object("picture.png")
        assert (picture.read(), picture.content_type) == (b"a picture", "image/png")
        process.send_signal(ended_by)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bucket", "p"), "does not take the bucket name 'p'"),
        (("--put", "/nowhere"), "cannot read /nowhere: No such file or directory. Check --put."),
        (("--region", "not a region"), "region is 'not a region'"),
        (("--role", "not a role"), "no role can be named"),
        (("--port", "99999999"), "0-65535"),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], message: str) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


class TestFixture:
    @pytest.fixture
    def ecs_oss_buckets(self) -> list[str]:
        return ["album"]

    def test_it_accepts_the_credentials_of_ecs_metadata(
        self, ecs_oss: FakeOss, ecs_metadata: FakeMetadataServer
    ) -> None:
        ecs_oss.put("album", "a", b"x")
        bucket = oss2.Bucket(
            oss2.ProviderAuthV4(EcsRamRoleCredentialsProvider()),
            ecs_oss.endpoint,
            "album",
            region=ecs_oss.region,
        )
        assert bucket.get_object("a").read() == b"x"
        assert ecs_oss.requests[0].access_key_id == ecs_metadata.issued[0].access_key_id


def test_beside_fake_metadata_and_responses() -> None:
    """The OSS on a socket, which ``responses`` lets through; the metadata service without one."""
    import responses

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        service = fake_metadata(mock)
        with FakeOss(service, ["pictures"]) as oss:
            mock.add_passthru(oss.endpoint)
            oss.put("pictures", "a", b"x")
            provider = EcsRamRoleCredentialsProvider(endpoint="http://100.100.100.200")
            bucket = oss2.Bucket(
                oss2.ProviderAuthV4(provider), oss.endpoint, "pictures", region=oss.region
            )
            assert bucket.get_object("a").read() == b"x"
            service.expire()
            with pytest.raises(oss2.exceptions.ServerError, match="SecurityTokenExpired"):
                bucket.get_object("a")
            assert requests.get(oss.endpoint, timeout=300).status_code == 403
