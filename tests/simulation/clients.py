"""When clients send requests: this library's schedule, and the other clients' as pure classes.

Each peer's class follows the source that it names, as far as when it asks and what its callers get.
Locks and threads are left out, since each has one caller here. Where the service does not answer,
``waits`` is the time after which the client gives up with its default settings.

A fetch that the service answers takes no time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random
from typing import Any, NamedTuple, cast

from ecs_role_creds import Credentials
from ecs_role_creds.cache import FETCH_SHARE
from ecs_role_creds.errors import MetadataUnreachableError
from ecs_role_creds.metadata import SESSION_TOKEN_SHARE
from ecs_role_creds.settings import DEFAULT_DEADLINE, MAX_SESSION_TOKEN_TTL
from ecs_role_creds.state import Record, State
from simulation.service import HOUR, Service, Token

MINUTE = 60.0


class Call(NamedTuple):
    """What a caller gets.

    Attributes:
        token: The token; ``None``: an error is raised.
        waited: Seconds that the call took.
    """

    token: Token | None
    waited: float = 0.0


class Client:
    """A provider in one process.

    Args:
        service: What it asks.
        random: Draws its jitter.

    Attributes:
        name: As shown in tables.
        source: Where the schedule was read.
        answered: Requests for each fetch, the role being named where the client takes a name.
        unanswered: When each request of a fetch in an outage is sent, in seconds from its start.
        waits: Seconds until a fetch in an outage is given up.
        token: What it holds.
    """

    name: str
    source: str
    answered: int
    unanswered: tuple[float, ...] = (0.0,)
    waits: float

    def __init__(self, service: Service, random: Random) -> None:
        self._service = service
        self._random = random
        self.token: Token | None = None

    def acts_at(self) -> float:
        """Before this time a call returns the token in hand, and does nothing else."""
        raise NotImplementedError

    def call(self, now: float) -> Call:
        """What an application does for each request."""
        raise NotImplementedError

    def _ask(self, now: float) -> Token | None:
        return self._service.ask(now, answered=self.answered, unanswered=self.unanswered)


class SessionTokenKept:
    """Counts the PUT for a session token, which is kept for as long as it is valid."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._expires_at = -inf

    def requests(self, now: float) -> int:
        """How many are needed: 0 or 1."""
        if now < self._expires_at:
            return 0
        self._expires_at = now + self._ttl
        return 1


class _Clock:
    """The time of the call in progress, for credentials that tell how long they are valid."""

    now = 0.0


class _Fetched:
    """A token as the real :class:`State` looks at it."""

    __slots__ = ("_clock", "expiration", "token")

    role_name = "app-role"

    def __init__(self, token: Token, clock: _Clock) -> None:
        self.token = token
        self.expiration = token.expires_at
        self._clock = clock

    def expires_in(self) -> float:
        return self.expiration - self._clock.now

    def is_same_token(self, other: _Fetched) -> bool:
        return self.token.serial == other.token.serial


class EcsRoleCreds(Client):
    """Fetches in the background, at a random moment from 29 to 23 min before expiration.

    After a failure it waits from 1 to 60 s, with jitter. Callers wait if there is no valid token,
    and in the last 60 s if the service has not been asked in the refresh window. This is the real
    ``State``, used as the cache uses it.
    """

    name = "ecs_role_creds"
    source = "ecs_role_creds/state.py, schedule.py"
    answered = 1
    waits = FETCH_SHARE * DEFAULT_DEADLINE

    def __init__(self, service: Service, random: Random) -> None:
        super().__init__(service, random)
        self._clock = _Clock()
        self._record = Record(State())
        self._session_token = SessionTokenKept(SESSION_TOKEN_SHARE * MAX_SESSION_TOKEN_TTL)

    def acts_at(self) -> float:
        return self._record.hot_until

    def call(self, now: float) -> Call:
        state = self._record.state
        can_serve = state.can_serve(now)
        old = self.token
        if not state.is_due(now):
            return Call(old if can_serve else None)
        must_wait = not can_serve or state.waits_for_attempt(now)
        fetched = self._service.ask(
            now,
            answered=self.answered + self._session_token.requests(now),
            unanswered=self.unanswered,
        )
        state, draw = state.after_begin(), self._random.random()
        waited = 0.0
        if fetched is None:
            failure = MetadataUnreachableError("No answer from the metadata service.")
            state = state.after_failure(failure, now + self.waits, draw)
            waited = self.waits if must_wait else 0.0
        else:
            self._clock.now = now
            credentials = cast(Credentials, _Fetched(fetched, self._clock))
            state = state.after_success(credentials, state.begun, now, draw)
            self.token = fetched
        self._record = Record(state)
        if can_serve and not (must_wait and fetched):
            return Call(old, waited)
        return Call(fetched, waited)


class Oss2(Client):
    """Fetches in the caller in the last 15 % of the life. A failure is not remembered."""

    name = "oss2"
    source = "oss2 2.19.1, oss2/credentials.py"
    answered = 1
    unanswered = (0.0, 10.0, 20.0)
    waits = 30.0  # 3 tries of 10 s

    def acts_at(self) -> float:
        if self.token is None:
            return -inf
        duration = self.token.expires_at - self.token.issued_at
        return self.token.expires_at - 0.15 * duration

    def call(self, now: float) -> Call:
        if now <= self.acts_at():
            return Call(self.token)
        fetched = self._ask(now)
        if fetched is None:
            return Call(self.token, self.waits)  # the old one, expired or not
        self.token = fetched
        return Call(fetched)


class AlibabaCredentials(Client):
    """Refreshes in the background one hour after each fetch; in the last 15 min in the caller.

    A scheduler also calls it once per minute. While the background refresh fails, each call starts
    another one. In the last 15 minutes, after a failure the token is returned for 1 to 10 s more
    (longer after eight failures in a row), even if it has expired.
    """

    name = "alibabacloud_credentials"
    source = "alibabacloud-credentials 1.0.12, provider/ecs_ram_role.py, provider/refreshable.py"
    answered = 2  # a session token each time
    unanswered = (0.0, 1.0)
    waits = 2.0  # 1 s to connect, twice: without a session token it asks in normal mode

    def __init__(self, service: Service, random: Random) -> None:
        super().__init__(service, random)
        self._stale_at = self._prefetch_at = -inf
        self._failures = 0
        self._next_tick = inf

    def acts_at(self) -> float:
        return min(self._stale_at, self._prefetch_at)

    def call(self, now: float) -> Call:
        while self._next_tick <= now:
            self._get(self._next_tick)
            skipped = max(0.0, min(self.acts_at(), now) - self._next_tick)
            self._next_tick += MINUTE * max(1, skipped // MINUTE)
        if self._next_tick == inf:
            self._next_tick = now + MINUTE
        return self._get(now)

    def _get(self, now: float) -> Call:
        old = self.token
        if now >= self._stale_at:
            succeeded = self._refresh(now)
            return Call(self.token, 0.0 if succeeded else self.waits)
        if now >= self._prefetch_at:
            self._refresh(now)
        return Call(old)

    def _refresh(self, now: float) -> bool:
        fetched = self._ask(now)
        if fetched is not None:
            self.token, self._failures = fetched, 0
            stale_at = fetched.expires_at - 15 * MINUTE
            self._stale_at = max(stale_at, now)
            self._prefetch_at = now + HOUR
            return True
        if self.token is not None and now >= self._stale_at:
            self._failures += 1
            most = max(10.0, 0.1 * 2.0 ** min(self._failures - 1, 30))
            self._stale_at = now + self.waits + self._random.uniform(1.0, most)
        return False


class CredentialsGo(Client):
    """Fetches in the caller in the last 3 min. A failure is an error even if the token is valid."""

    name = "credentials-go"
    source = "aliyun/credentials-go 9ac55b4, credentials/providers/ecs_ram_role.go"
    answered = 2
    unanswered = (0.0, 1.0)
    waits = 2.0

    def acts_at(self) -> float:
        return -inf if self.token is None else self.token.expires_at - 180

    def call(self, now: float) -> Call:
        if now < self.acts_at():
            return Call(self.token)
        fetched = self._ask(now)
        if fetched is None:
            return Call(None, self.waits)
        self.token = fetched
        return Call(fetched)


class Botocore(Client):
    """Fetches in the caller in the last 15 min.

    If the service does not respond, the metadata fetcher returns an empty document, which is an
    error also in the advisory period (checked with the package). If less than 17 to 25 minutes are
    left, the expiration of the token is extended.
    """

    name = "botocore"
    source = "botocore 1.44.8, credentials.py (RefreshableCredentials), utils.py (IMDS fetcher)"
    answered = 3  # a session token, the role's name, the document
    unanswered = (0.0, 1.0)
    waits = 2.0  # 1 s, twice

    def __init__(self, service: Service, random: Random) -> None:
        super().__init__(service, random)
        self._expires_at = -inf

    def acts_at(self) -> float:
        return self._expires_at - 15 * MINUTE

    def call(self, now: float) -> Call:
        if now <= self.acts_at():
            return Call(self.token)
        fetched = self._ask(now)
        if fetched is None:
            return Call(None, self.waits)
        self.token, self._expires_at = fetched, fetched.expires_at
        offset = 15 * MINUTE + self._random.randint(120, 600)
        if now >= fetched.expires_at - offset:
            self._expires_at = now + offset
        return Call(fetched)


class AwsSdkGo(Client):
    """Assumes a life of one hour at most; one caller fetches in the last 15 min of it.

    After a failure the token is kept, even if it has expired, and no request is sent for 5 to 10
    minutes.
    """

    name = "aws-sdk-go-v2"
    source = (
        "aws/aws-sdk-go-v2, aws/credential_cache.go (26f0876), "
        "credentials/ec2rolecreds/provider.go (72a935b)"
    )
    answered = 2  # the role's name, the document
    waits = 5.0

    def __init__(self, service: Service, random: Random) -> None:
        super().__init__(service, random)
        self._acts_at = -inf
        self._session_token = SessionTokenKept(6 * HOUR)

    def acts_at(self) -> float:
        return self._acts_at

    def call(self, now: float) -> Call:
        if now < self._acts_at:
            return Call(self.token)
        fetched = self._service.ask(
            now,
            answered=self.answered + self._session_token.requests(now),
            unanswered=self.unanswered,
        )
        if fetched is None:
            if self.token is None:
                return Call(None, self.waits)
            self._acts_at = now + self._random.uniform(300, 600)
            return Call(self.token, self.waits)
        self.token = fetched
        lifetime = min(fetched.expires_at - now, HOUR)
        window = 5 * MINUTE if lifetime <= 20 * MINUTE else 15 * MINUTE
        self._acts_at = now + lifetime - window
        return Call(fetched)


class GoogleAuth(Client):
    """Fetches in the caller in the last 3 min 45 s. A failure is an error."""

    name = "google-auth"
    source = "googleapis/google-auth-library-python 2ea24b0, credentials.py, _metadata.py"
    answered = 2  # the account, the token
    unanswered = (0.0, 4.0, 9.0, 16.0, 27.0)  # 5 tries of 3 s, with 1, 2, 4 and 8 s between them
    waits = 30.0

    def acts_at(self) -> float:
        return -inf if self.token is None else self.token.expires_at - 225

    def call(self, now: float) -> Call:
        if now < self.acts_at():
            return Call(self.token)
        fetched = self._ask(now)
        if fetched is None:
            return Call(None, self.waits)
        self.token = fetched
        return Call(fetched)


EVERY: tuple[Callable[[Service, Random], Any], ...] = (
    EcsRoleCreds,
    Oss2,
    AlibabaCredentials,
    CredentialsGo,
    Botocore,
    AwsSdkGo,
    GoogleAuth,
)
