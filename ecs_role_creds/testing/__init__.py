"""A fake metadata service, a fake OSS, and a fake RAM and ECS, for tests.

They work without pytest. With pytest, the fixtures of ``plugin`` are available as soon as the
package is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_role_creds.testing.clock import VirtualClock
    from ecs_role_creds.testing.exchange import IssuedCredentials, RecordedRequest
    from ecs_role_creds.testing.metadata.mock import fake_metadata
    from ecs_role_creds.testing.metadata.server import FakeMetadataServer
    from ecs_role_creds.testing.openapi.server import FakeOpenApi
    from ecs_role_creds.testing.oss.server import FakeOss
    from ecs_role_creds.testing.redirect import forget_credentials

__all__ = [
    "FakeMetadataServer",
    "FakeOpenApi",
    "FakeOss",
    "IssuedCredentials",
    "RecordedRequest",
    "VirtualClock",
    "fake_metadata",
    "forget_credentials",
]

_MODULES = {
    "FakeMetadataServer": "metadata.server",
    "FakeOpenApi": "openapi.server",
    "FakeOss": "oss.server",
    "IssuedCredentials": "exchange",
    "RecordedRequest": "exchange",
    "VirtualClock": "clock",
    "fake_metadata": "metadata.mock",
    "forget_credentials": "redirect",
}


def __getattr__(name: str) -> object:
    # At first use, because every pytest run imports this package for its plugin, and some modules
    # need optional packages.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
