"""The fake service's session tokens: a PUT costs the same however many are valid."""

from __future__ import annotations

from ecs_role_creds.testing.exchange import Request
from ecs_role_creds.testing.metadata.service import TOKEN_HEADER, TTL_HEADER, FakeMetadataService

TOKEN_PATH = "/latest/api/token"
MANY = 100_000


class CountedTime(float):
    """A time that counts how often it, or a time derived from it, is compared."""

    comparisons = 0

    def __add__(self, seconds: float) -> CountedTime:
        return CountedTime(float(self) + seconds)

    def __lt__(self, other: float) -> bool:
        CountedTime.comparisons += 1
        return float(self) < float(other)


class CountingClock:
    def __init__(self) -> None:
        self.now = 1_893_456_000.0

    def __call__(self) -> float:
        return CountedTime(self.now)


def put(service: FakeMetadataService, ttl: int) -> str:
    request = Request("PUT", TOKEN_PATH, {TTL_HEADER: str(ttl)})
    return service._issue_session_token(request).body.decode()


def is_accepted(service: FakeMetadataService, token: str) -> bool:
    request = Request("GET", "/latest/meta-data/region-id", {TOKEN_HEADER: token})
    return service.handle(request).status == 200


def comparisons_of_a_put(service: FakeMetadataService) -> int:
    CountedTime.comparisons = 0
    put(service, 21600)
    return CountedTime.comparisons


def test_a_put_costs_the_same_with_100_000_tokens() -> None:
    service = FakeMetadataService(clock=CountingClock())
    put(service, 21600)
    assert 0 < comparisons_of_a_put(service) < 50
    tokens = [put(service, 1 + number % 21600) for number in range(MANY)]
    assert 0 < comparisons_of_a_put(service) < 50
    assert is_accepted(service, tokens[0])
    assert is_accepted(service, tokens[-1])


def test_expired_tokens_are_dropped() -> None:
    clock = CountingClock()
    service = FakeMetadataService(clock=clock)
    for _ in range(1000):
        put(service, 60)
    last = put(service, 61)
    assert len(service._session_tokens) == 1001
    clock.now += 60
    assert is_accepted(service, last)
    new = put(service, 60)
    assert len(service._session_tokens) == 2
    clock.now += 1
    assert not is_accepted(service, last)
    assert is_accepted(service, new)
