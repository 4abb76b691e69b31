"""A server in front of a fake metadata service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.sidecar import Sidecar

from ecs_role_creds.testing import FakeMetadataServer


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with FakeMetadataServer() as upstream, Sidecar(upstream) as served:
        yield served
