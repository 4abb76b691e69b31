"""What all tests share.

No example of a property test has a time limit, and no provider that a test builds starts with the
credentials of another test.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

from ecs_role_creds.provider import forget_shared

settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _empty_caches() -> None:
    """Providers with equal settings share a cache, which may outlive the test that built them."""
    forget_shared()
