"""The simulation does what the cache does, and counts what happens."""

from __future__ import annotations

import inspect
from pathlib import Path
from random import Random
from typing import Any, cast

import botocore.credentials
import botocore.utils
import oss2.credentials
import pytest

from ecs_role_creds import Credentials
from ecs_role_creds.cache import FETCH_SHARE, CredentialsCache
from ecs_role_creds.errors import CredentialsError, MetadataUnreachableError
from simulation import report
from simulation.clients import (
    EVERY,
    AlibabaCredentials,
    Botocore,
    Client,
    CredentialsGo,
    EcsRoleCreds,
    Oss2,
)
from simulation.fleet import DAY, HOST, HOSTS, Day, Fleet, simulate
from simulation.process import Tally, run
from simulation.seldom import Left
from simulation.service import HOUR, LIFE, PERIOD, Outage, Requests, Service, Token

OUTAGES = [Outage(5.4 * HOUR, 6.2 * HOUR), Outage(16 * HOUR, 16.7 * HOUR)]
DEADLINE = 2.0


def test_service_rotates_half_an_hour_before_the_end() -> None:
    service = Service(100.0, [], Requests(DAY))
    assert service.token(100.0) == Token(0, 100.0, 100.0 + LIFE)
    assert service.token(100.0 + PERIOD - 1) == service.token(100.0)
    assert service.token(100.0 + PERIOD) == Token(1, 100.0 + PERIOD, 100.0 + PERIOD + LIFE)


def test_service_counts_each_request_at_its_time() -> None:
    requests = Requests(DAY)
    service = Service(0.0, [Outage(10.0, 20.0)], requests)
    assert service.ask(9.9, answered=2, unanswered=(0.0, 5.0)) is not None
    assert service.ask(10.0, answered=2, unanswered=(0.0, 5.0)) is None
    assert service.ask(20.0, answered=2, unanswered=(0.0, 5.0)) is not None
    assert {second: n for second, n in enumerate(requests.by_second) if n} == {
        9: 2,
        10: 1,
        15: 1,
        20: 2,
    }


class _RealCache:
    """The real cache, asked on a virtual clock: what the simulation's class has to agree with."""

    def __init__(self, service: Service, random: Random) -> None:
        self._service = service
        self._now = 0.0
        self.fetched_at: list[float] = []
        self._cache = CredentialsCache(
            cast(Any, self),
            deadline=DEADLINE,
            clock=lambda: self._now,
            random=random.random,
            start_thread=self._run_and_go_back,
        )

    def _run_and_go_back(self, work: Any) -> bool:
        began = self._now
        work()
        self._now = began  # what the fetch took is the other thread's time
        return True

    def fetch(self, until: float) -> Credentials:
        self.fetched_at.append(self._now)
        token = self._service.ask(self._now, answered=1, unanswered=(0.0,))
        if token is None:
            self._now += FETCH_SHARE * DEADLINE
            raise MetadataUnreachableError("No answer.")
        from datetime import datetime, timezone

        return Credentials(
            f"STS.FAKE{token.serial}",
            "fake-secret",
            "fake-security-token",
            datetime.fromtimestamp(token.expires_at, timezone.utc),
            "app-role",
            expires_at=token.expires_at,
            clock=lambda: self._now,
        )

    def pending_import(self) -> None:
        """Nothing has to be imported."""

    def take_warning(self) -> None:
        """Nothing is worth a warning."""

    def call(self, now: float) -> str | None:
        self._now = now
        try:
            return self._cache.get().access_key_id
        except CredentialsError:
            return None


@pytest.mark.parametrize("pause", [7.0, 61.0, 1200.0, 3 * HOUR])
def test_simulated_calls_are_those_of_the_real_cache(pause: float) -> None:
    real = _RealCache(Service(0.0, OUTAGES, Requests(DAY)), Random(1))
    client = EcsRoleCreds(Service(0.0, OUTAGES, Requests(DAY)), Random(1))
    now = 0.0
    while now < DAY:
        call = client.call(now)
        assert real.call(now) == (call.token and f"STS.FAKE{call.token.serial}"), now
        now += pause


def called(client: Client, until: float) -> Tally:
    tally = Tally()
    run(client, 0.0, until, tally)
    return tally


def test_calls_that_are_skipped_are_counted() -> None:
    tally = called(EcsRoleCreds(Service(0.0, [], Requests(DAY)), Random(1)), DAY)
    assert tally.calls == DAY
    assert (tally.held_up, tally.failed, tally.expired, tally.without) == (0, 0, 0, 0.0)


def test_an_outage_beyond_expiration_is_felt_by_everybody() -> None:
    outage = Outage(4 * HOUR, 8 * HOUR)
    for build in EVERY:
        tally = called(build(Service(0.0, [outage], Requests(DAY)), Random(1)), DAY)
        assert tally.without >= 2 * HOUR - 60, build.name


def test_peers_show_what_their_sources_say() -> None:
    outage = [Outage(5.2 * HOUR, 5.9 * HOUR)]
    oss2 = called(Oss2(Service(0.0, outage, Requests(DAY)), Random(1)), 6 * HOUR)
    assert (oss2.longest, oss2.failed, oss2.expired) == (30.0, 0, 0)
    assert oss2.held_up == pytest.approx(0.7 * HOUR / 30, abs=1)

    outage = [Outage(5.9 * HOUR, 6.5 * HOUR)]
    go = called(CredentialsGo(Service(0.0, outage, Requests(DAY)), Random(1)), 7 * HOUR)
    assert go.failed == pytest.approx((6.5 * HOUR - (LIFE - 180)) / 2, abs=2)

    alibaba = called(AlibabaCredentials(Service(0.0, outage, Requests(DAY)), Random(1)), 7 * HOUR)
    assert alibaba.failed == 0
    assert alibaba.expired == 0  # it refreshed at 5:00 and fell due at 6:00, with the next token


def test_figures_of_installed_peers_are_those_of_the_packages() -> None:
    """The newest releases are installed for the tests: a change shows here."""
    service = Service(0.0, [], Requests(DAY))  # its first token expires at LIFE
    aws = Botocore(service, Random(1))
    aws.call(0.0)
    advisory = botocore.credentials.RefreshableCredentials._advisory_refresh_timeout
    assert aws.acts_at() == LIFE - advisory
    assert aws.waits == 2 * botocore.utils.DEFAULT_METADATA_SERVICE_TIMEOUT

    provider = inspect.signature(oss2.credentials.EcsRamRoleCredentialsProvider.__init__)
    defaults = {name: one.default for name, one in provider.parameters.items()}
    oss = Oss2(service, Random(1))
    assert oss.waits == defaults["max_retries"] * defaults["timeout"]
    oss.call(0.0)
    kept = oss2.credentials.DEFAULT_ECS_SESSION_EXPIRED_FACTOR
    assert oss.acts_at() == pytest.approx(kept * LIFE)


@pytest.mark.parametrize("fleet", [HOST, HOSTS])
def test_every_process_of_a_fleet_restarts_and_refreshes(fleet: Fleet) -> None:
    day = simulate(EcsRoleCreds, fleet._replace(processes=20))
    assert day.simulated == 20
    # A document at the start, three rotations, the restart, one rotation; session tokens besides.
    assert day.a_day >= 20 * 6
    assert (day.tally.failed, day.tally.expired) == (0, 0)


def test_page_and_plots_are_written(tmp_path: Path) -> None:
    client = EcsRoleCreds
    days: list[Day] = [simulate(client, HOST._replace(processes=5))]
    outcome = report.Outcome(
        {HOST: days, HOSTS: days},
        {client: [Tally()] * len(report.year.LENGTHS)},
        {client: [Left(1, 0, 0, 0, 60.0)] * len(report.seldom.PAUSES)},
    )
    page = report.write(outcome, tmp_path)
    text = page.read_text(encoding="utf-8")
    for name in ("scale-outage-host.svg", "scale-outage-hosts.svg", "scale-year.svg"):
        assert f"({name})" in text
        assert (tmp_path / name).exists()
        assert (tmp_path / name.replace(".svg", "-dark.svg")).exists()
