"""An object in a fake OSS, and what tests send to other processes to read it.

Those cannot import a test module by name.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from threading import Barrier
from typing import NamedTuple

import oss2

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

CONTENT = "signed and read"
PATIENCE = 300.0

_barrier: Barrier | None = None


class Reading(NamedTuple):
    """What was read, and by which process."""

    content: bytes
    pid: int


@contextlib.contextmanager
def oss_with_object(server: FakeMetadataServer) -> Iterator[FakeOss]:
    """A fake OSS that holds the object which the functions below read."""
    with FakeOss(server) as oss:
        oss.put("bucket", "object", CONTENT)
        yield oss


def read_object(provider: EcsRamRoleCredentialsProvider, oss_endpoint: str, region: str) -> Reading:
    """Read an object as applications do: by oss2, with the provider as it came."""
    bucket = oss2.Bucket(oss2.ProviderAuthV4(provider), oss_endpoint, "bucket", region=region)
    return Reading(bucket.get_object("object").read(), os.getpid())


def join(barrier: Barrier) -> None:
    """Initialize a process whose readings wait for those of others."""
    global _barrier
    _barrier = barrier


def read_together(
    provider: EcsRamRoleCredentialsProvider, oss_endpoint: str, region: str
) -> Reading:
    """Read an object, and wait until every other process that joined has done so."""
    reading = read_object(provider, oss_endpoint, region)
    assert _barrier is not None
    _barrier.wait(PATIENCE)
    return reading


def name_role(credentials: Credentials) -> str | None:
    """What a process could do that is sent credentials."""
    return credentials.role_name


def get_credentials(provider: EcsRamRoleCredentialsProvider) -> Credentials:
    """What a process could try to send back."""
    return provider.get_credentials()
