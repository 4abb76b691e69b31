"""Fixtures of the tests with real clients."""

from __future__ import annotations

import pytest

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer


@pytest.fixture
def provider(ecs_metadata: FakeMetadataServer) -> EcsRamRoleCredentialsProvider:
    return EcsRamRoleCredentialsProvider(deadline=60)
