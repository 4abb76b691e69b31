"""fsspec's file systems on OSS, for pandas, Dask and others.

They run in an environment of their own: ossfs pins another oss2, and s3fs another botocore, than
everything else is tested with.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dask
import dask.dataframe
import distributed
import fsspec
import oss2
import pandas
import pytest
import s3fs
from support import documents
from support.client import CONTENT, Client, RecordingOss
from support.rotation import (
    assert_no_secret_in,
    check_nothing_outlives_invalidate,
    check_unreachable_is_told_of,
    sign_through_a_rotation,
)
from support.s3 import FakeS3

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.adapters import aiobotocore, ossfs
from ecs_role_creds.testing import FakeMetadataServer

Provider = EcsRamRoleCredentialsProvider
Build = Callable[[FakeMetadataServer, Provider], AbstractContextManager[Client]]

LONG = 300.0
FRAME = pandas.DataFrame({"number": [1, 2, 3], "name": ["a", "b", "c"]})

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # Dask warns of slow disks; a busy machine's is slow.
    pytest.mark.filterwarnings("ignore:Creating scratch directories is taking:UserWarning"),
]


@pytest.fixture(autouse=True)
def no_instances_of_other_tests() -> Iterator[None]:
    """fsspec keeps one file system for equal arguments."""
    yield
    for kind in (ossfs.OSSFileSystem, ossfs.AioOSSFileSystem, s3fs.S3FileSystem):
        kind.clear_instance_cache()


def on_oss(**options: Any) -> Build:
    @contextlib.contextmanager
    def build(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
        with RecordingOss(metadata) as oss:
            fs = ossfs.filesystem(provider, endpoint=oss.endpoint, **options)

            def write_and_read() -> None:
                fs.pipe_file("bucket/folder/key", CONTENT)
                assert fs.cat_file("bucket/folder/key") == CONTENT

            # aiooss2 0.2.11 cannot upload with today's aiohttp, with any signer.
            def read_what_oss2_wrote() -> None:
                auth = oss2.ProviderAuth(provider)
                oss2.Bucket(auth, oss.endpoint, "bucket").put_object("folder/key", CONTENT)
                assert fs.cat_file("bucket/folder/key") == CONTENT

            yield Client(oss, read_what_oss2_wrote if "use_aio" in options else write_and_read)

    return build


@contextlib.contextmanager
def on_s3(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
    with FakeS3(metadata) as s3:
        fs = s3fs.S3FileSystem(
            session=aiobotocore.session(provider),
            endpoint_url=s3.endpoint,
            client_kwargs={"region_name": "cn-fake-1"},
            skip_instance_cache=True,
        )

        def call() -> None:
            fs.pipe_file("bucket/folder/key", CONTENT)
            assert fs.cat_file("bucket/folder/key") == CONTENT

        yield Client(s3, call)


BUILDS = [
    pytest.param(on_oss(), id="ossfs V1"),
    pytest.param(on_oss(region="cn-fake-1"), id="ossfs V4"),
    pytest.param(on_oss(use_aio=True), id="ossfs aio V1"),
    pytest.param(on_oss(use_aio=True, region="cn-fake-1"), id="ossfs aio V4"),
    pytest.param(on_s3, id="s3fs"),
]


@pytest.mark.parametrize("build", BUILDS)
def test_through_a_rotation(
    build: Build, ecs_metadata: FakeMetadataServer, provider: Provider
) -> None:
    with build(ecs_metadata, provider) as (service, call):
        sign_through_a_rotation(call, ecs_metadata, provider, service.signers)
        assert list(service.refused) == []
        assert_no_secret_in(service.received, ecs_metadata)


@pytest.mark.parametrize("build", BUILDS)
def test_nothing_is_kept_longer_than_the_provider_keeps_it(
    build: Build, ecs_metadata: FakeMetadataServer, provider: Provider
) -> None:
    with build(ecs_metadata, provider) as client:
        check_nothing_outlives_invalidate(client, ecs_metadata, provider)


@pytest.mark.parametrize("build", BUILDS)
def test_an_unreachable_metadata_service_is_told_of(
    build: Build, ecs_metadata: FakeMetadataServer
) -> None:
    check_unreachable_is_told_of(build, ecs_metadata)


def test_ossfs_replaces_a_refused_token_for_the_next_request(
    ecs_metadata: FakeMetadataServer, provider: Provider
) -> None:
    with on_oss()(ecs_metadata, provider) as (service, call):
        call()
        ecs_metadata.expire()
        with pytest.raises(OSError):  # noqa: PT011 (ossfs makes it of every refusal)
            call()
        call()
        assert len(service.refused) == 1


def test_s3fs_replaces_a_refused_token_and_sends_the_request_again(
    ecs_metadata: FakeMetadataServer, provider: Provider
) -> None:
    with on_s3(ecs_metadata, provider) as (service, call):
        call()
        ecs_metadata.expire()
        call()
        assert len(service.refused) == 1


# pandas and Dask.


@pytest.fixture
def oss(ecs_metadata: FakeMetadataServer) -> Iterator[RecordingOss]:
    with RecordingOss(ecs_metadata) as oss:
        yield oss


@pytest.fixture
def fs(oss: RecordingOss, provider: Provider) -> ossfs.OSSFileSystem:
    return ossfs.filesystem(provider, endpoint=oss.endpoint, region=oss.region)


def test_pandas_reads_files(fs: ossfs.OSSFileSystem, oss: RecordingOss) -> None:
    fs.pipe_file("bucket/table.csv", FRAME.to_csv(index=False).encode())
    with fs.open("bucket/table.csv") as file:
        assert pandas.read_csv(file).equals(FRAME)
    fs.pipe_file("bucket/table.parquet", FRAME.to_parquet())
    assert pandas.read_parquet("bucket/table.parquet", filesystem=fs).equals(FRAME)
    assert oss.refused == []


def test_pandas_reads_by_url(
    fs: ossfs.OSSFileSystem, oss: RecordingOss, provider: Provider
) -> None:
    fs.pipe_file("bucket/table.csv", FRAME.to_csv(index=False).encode())
    before = fsspec.get_filesystem_class("oss")
    fsspec.register_implementation("oss", ossfs.OSSFileSystem, clobber=True)
    try:
        options = {"provider": provider, "endpoint": oss.endpoint}
        read = pandas.read_csv("oss://bucket/table.csv", storage_options=options)
    finally:
        fsspec.register_implementation("oss", before, clobber=True)
    assert read.equals(FRAME)
    assert oss.refused == []


def test_filesystem_pickles_without_a_secret(
    fs: ossfs.OSSFileSystem, ecs_metadata: FakeMetadataServer
) -> None:
    fs.pipe_file("bucket/key", CONTENT)
    pickled = pickle.dumps(fs)
    (issued,) = ecs_metadata.issued
    for secret in (issued.access_key_id, issued.access_key_secret, issued.security_token):
        assert secret.encode() not in pickled
    ossfs.OSSFileSystem.clear_instance_cache()
    assert pickle.loads(pickled).cat_file("bucket/key") == CONTENT


@pytest.mark.slow
def test_dask_workers_fetch_for_themselves(
    fs: ossfs.OSSFileSystem,
    oss: RecordingOss,
    ecs_metadata: FakeMetadataServer,
    tmp_path: Path,
) -> None:
    for number in range(4):
        table = FRAME.assign(number=FRAME["number"] + number)
        fs.pipe_file(f"bucket/table/{number}.parquet", table.to_parquet())
    with (
        dask.config.set(temporary_directory=str(tmp_path)),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2, LONG)
        frame = dask.dataframe.read_parquet("bucket/table/*.parquet", filesystem=fs)
        before = documents(ecs_metadata)
        assert frame["number"].sum().compute() == sum(6 + 3 * number for number in range(4))
        assert os.getpid() not in client.run(os.getpid).values()
    assert documents(ecs_metadata) > before
    assert oss.refused == []


def test_ossfs_pins_an_oss2_of_its_own() -> None:
    """Else this environment could go, and these tests into the other one."""
    assert oss2.__version__ == "2.18.4"
