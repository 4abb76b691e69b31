"""One immutable snapshot, that shows nothing of itself."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from datetime import datetime, timedelta, timezone

import pytest
from support import EPOCH, MovableClock, fake_credentials

from ecs_role_creds import Credentials


@pytest.fixture
def credentials(clock: MovableClock) -> Credentials:
    return fake_credentials(7, clock)


SECRETS = ("STS.FAKE0007", "fake-secret-0007", "fake-security-token-0007")


def test_attributes_and_getters_agree(credentials: Credentials) -> None:
    assert credentials.get_access_key_id() == credentials.access_key_id == SECRETS[0]
    assert credentials.get_access_key_secret() == credentials.access_key_secret == SECRETS[1]
    assert credentials.get_security_token() == credentials.security_token == SECRETS[2]
    assert credentials.get_provider_name() == credentials.provider_name == "ecs_ram_role"
    assert credentials.type == "sts"
    assert credentials.has_keys()
    assert credentials.role_name == "app-role"
    assert credentials.expiration == EPOCH + timedelta(seconds=1000 + 21600)


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r:>80}".format,
        lambda shown: f"{shown:^120}",
        lambda shown: "%s %r" % (shown, shown),  # noqa: UP031
        lambda shown: repr([shown, {"key": shown}]),
        lambda shown: "".join(traceback.format_exception(ValueError(shown))),
    ],
)
def test_nothing_shows_a_secret(credentials: Credentials, show: object) -> None:
    shown = show(credentials)  # type: ignore[operator]
    assert not [secret for secret in SECRETS if secret in shown]
    assert "app-role" in shown


def test_is_shown_as_what_it_is_in_any_width(credentials: Credentials) -> None:
    shown = repr(credentials)
    assert shown.startswith("<Credentials of role 'app-role', expiring 2030-01-01T06:16:40Z")
    assert f"{credentials:>200}" == shown.rjust(200)


def test_logging_shows_no_secret(
    credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("application").warning("using %s", credentials)
    assert "app-role" in caplog.text
    assert not [secret for secret in SECRETS if secret in caplog.text]


def test_has_no_dictionary(credentials: Credentials) -> None:
    with pytest.raises(TypeError):
        vars(credentials)
    with pytest.raises(TypeError):
        json.dumps(credentials)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused_and_says_what_to_do(credentials: Credentials, protocol: int) -> None:
    with pytest.raises(TypeError, match="pickle the provider"):
        pickle.dumps(credentials, protocol)


def test_copies_are_the_object_itself(credentials: Credentials) -> None:
    assert copy.copy(credentials) is credentials
    assert copy.deepcopy([credentials])[0] is credentials


def test_immutable(credentials: Credentials) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        credentials.access_key_id = "STS.OTHER"
    with pytest.raises(AttributeError, match="immutable"):
        credentials.colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="immutable"):
        del credentials.expiration


def test_remaining_life_comes_down_to_zero(credentials: Credentials, clock: MovableClock) -> None:
    assert credentials.expires_in() == 21600
    clock.advance(21599)
    assert credentials.expires_in() == 1
    assert not credentials.is_expired()
    clock.advance(1)
    assert credentials.is_expired()
    clock.advance(1e6)
    assert credentials.expires_in() == 0


def test_end_is_worked_out_from_the_expiration_when_not_given() -> None:
    expiration = datetime.now(timezone.utc) + timedelta(seconds=60)
    assert Credentials("a", "b", "c", expiration).expires_in() == pytest.approx(60, abs=5)


def test_expiration_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Credentials("a", "b", "c", datetime(2030, 1, 1))


def test_equality_and_hash(clock: MovableClock) -> None:
    one, same, other = (fake_credentials(n, clock) for n in (1, 1, 2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "STS.FAKE0001"
    assert hash(one) != hash(other)
    assert len({one, same, other}) == 2
