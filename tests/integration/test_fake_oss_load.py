"""The fake OSS with large objects, interruptions and many connections at once."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.oss_clients import Oss2, oss2, oss_v2

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

SIZE = 50 * 2**20
PART = 2**20
CONNECTIONS = 64
OBJECTS_EACH = 5


@pytest.fixture
def oss(ecs_metadata: FakeMetadataServer) -> Iterator[FakeOss]:
    with FakeOss(ecs_metadata, ["pictures"]) as oss:
        yield oss


@pytest.fixture
def bucket(oss: FakeOss) -> Any:
    auth = oss2.ProviderAuthV4(EcsRamRoleCredentialsProvider())
    return oss2.Bucket(auth, oss.endpoint, "pictures", region=oss.region)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(PART) * (SIZE // PART - 1) + os.urandom(PART))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def transferred(transfer: Any, interrupt: Any) -> int:
    """Repeat a transfer until it is done, interrupted at two moments; the number of attempts."""
    moments = [SIZE // 5, SIZE // 2]

    def watch(done: int, total: int) -> None:
        if moments and done >= moments[0]:
            moments.pop(0)
            interrupt()

    for attempt in range(1, 20):
        with contextlib.suppress(oss2.exceptions.ServerError, oss2.exceptions.RequestError):
            transfer(watch)
            return attempt
    raise AssertionError("never done")


@pytest.mark.slow
def test_resumable_transfers_with_interruptions(
    oss: FakeOss, bucket: Any, large: Path, tmp_path: Path
) -> None:
    target = tmp_path / "downloaded"

    def upload(watch: Any) -> None:
        store = oss2.ResumableStore(root=str(tmp_path))
        options = {"multipart_threshold": PART, "part_size": PART, "num_threads": 2}
        oss2.resumable_upload(
            bucket, "large", str(large), store=store, progress_callback=watch, **options
        )

    def download(watch: Any) -> None:
        store = oss2.ResumableDownloadStore(root=str(tmp_path))
        options = {"multiget_threshold": PART, "part_size": PART, "num_threads": 2}
        oss2.resumable_download(
            bucket, "large", str(target), store=store, progress_callback=watch, **options
        )

    assert transferred(upload, lambda: oss.fail(500, on="upload-part", times=1)) > 1
    assert oss.objects["pictures"]["large"].content == large.read_bytes()
    assert oss.objects["pictures"].uploads == {}
    parts = [one.status for one in oss.requests if one.kind == "upload-part"]
    # Resumed: parts are sent once, except those in progress at an interruption.
    assert SIZE // PART <= parts.count(200) <= SIZE // PART + 4
    assert parts.count(500) >= 1
    assert transferred(download, lambda: oss.reset(on="get-object", times=1)) > 1
    assert digest(target) == digest(large)
    assert oss.refused == []


@pytest.mark.slow
def test_the_transfer_managers_of_oss_v2(oss: FakeOss, large: Path, tmp_path: Path) -> None:
    config = oss_v2.config.load_default()
    config.credentials_provider = EcsRamRoleCredentialsProvider()
    config.region, config.endpoint = oss.region, oss.endpoint
    config.retryer = oss_v2.retry.StandardRetryer(
        max_attempts=5, backoff_delayer=oss_v2.retry.FixedDelayBackoff(0)
    )
    client = oss_v2.Client(config)
    oss.fail(500, on="upload-part", times=2)
    client.uploader(part_size=PART, parallel_num=2).upload_file(
        oss_v2.PutObjectRequest(bucket="pictures", key="large"), str(large)
    )
    oss.fail(500, on="get-object", times=2)
    client.downloader(part_size=PART, parallel_num=2).download_file(
        oss_v2.GetObjectRequest(bucket="pictures", key="large"), str(tmp_path / "downloaded")
    )
    assert digest(tmp_path / "downloaded") == digest(large)
    client.copier(part_size=PART, parallel_num=2).copy(
        oss_v2.CopyObjectRequest(
            bucket="pictures", key="copied", source_bucket="pictures", source_key="large"
        )
    )
    stored = oss.objects["pictures"]
    assert stored["copied"].content == stored["large"].content
    assert oss.refused == []


def test_many_connections_lose_nothing(oss: FakeOss) -> None:
    provider = EcsRamRoleCredentialsProvider()

    def write(number: int) -> None:
        client = Oss2(oss, provider, "v4" if number % 2 else "v1")
        for serial in range(OBJECTS_EACH):
            key = f"{number}/{serial}"
            client.put("pictures", key, key.encode())
            assert client.get("pictures", key).body == key.encode()
        client.delete("pictures", f"{number}/0")

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(write, range(CONNECTIONS)))
    stored = oss.objects["pictures"]
    assert len(stored) == CONNECTIONS * (OBJECTS_EACH - 1)
    assert all(one.content == key.encode() for key, one in stored.items())
    assert len(oss.requests) == CONNECTIONS * (2 * OBJECTS_EACH + 1)
    assert {one.status for one in oss.requests} == {200, 204}


def test_appends_from_many_connections(oss: FakeOss) -> None:
    """Each append succeeds at one position only, so none is lost and none is doubled."""
    provider = EcsRamRoleCredentialsProvider()

    def append(number: int) -> None:
        client = oss2.Bucket(
            oss2.ProviderAuthV4(provider), oss.endpoint, "pictures", region=oss.region
        )
        position = 0
        while True:
            try:
                client.append_object("log", position, f"{number:02}\n")
                return
            except oss2.exceptions.PositionNotEqualToLength as error:
                position = error.next_position

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(16)))
    lines = oss.objects["pictures"]["log"].content.split()
    assert sorted(lines) == [f"{number:02}".encode() for number in range(16)]


def test_memory_is_bounded_by_what_is_stored(oss: FakeOss, bucket: Any) -> None:
    """What is overwritten, aborted or deleted is let go of."""
    content = os.urandom(4 * 2**20)
    bucket.put_object("a", content)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(5):
        bucket.put_object("a", content)
        bucket.get_object("a").read()
        upload = bucket.init_multipart_upload("b").upload_id
        bucket.upload_part("b", upload, 1, content)
        bucket.abort_multipart_upload("b", upload)
        bucket.put_object("c", content)
        bucket.delete_object("c")
    oss.close_idle_connections()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 2.5 * len(content)  # one object, and the part in progress
