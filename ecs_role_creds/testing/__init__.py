"""For tests, yours and the library's own: a fake metadata service, and a fake OSS.

Works without pytest; with it, fixtures come by themselves (see ``plugin``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecs_role_creds.testing.clock import VirtualClock
from ecs_role_creds.testing.exchange import IssuedCredentials, RecordedRequest
from ecs_role_creds.testing.server import FakeMetadataServer

if TYPE_CHECKING:
    from ecs_role_creds.testing.mock import fake_metadata
    from ecs_role_creds.testing.oss import FakeOss

__all__ = [
    "FakeMetadataServer",
    "FakeOss",
    "IssuedCredentials",
    "RecordedRequest",
    "VirtualClock",
    "fake_metadata",
]


def __getattr__(name: str) -> object:
    # These need packages of their own, that not everybody has.
    if name == "FakeOss":
        from ecs_role_creds.testing.oss import FakeOss

        return FakeOss
    if name == "fake_metadata":
        from ecs_role_creds.testing.mock import fake_metadata

        return fake_metadata
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
