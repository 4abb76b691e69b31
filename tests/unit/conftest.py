"""The fixture that most unit tests share."""

from __future__ import annotations

import pytest
from support import MovableClock


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()
