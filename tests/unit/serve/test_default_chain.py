"""What is made of what the default credentials chain finds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support import EPOCH, MovableClock

from ecs_role_creds.errors import ConfigurationError, CredentialsError
from ecs_role_creds.serve.default_chain import (
    ASSUMED_LIFE,
    DefaultChain,
    DefaultChainProvider,
    default_chain_provider,
)


class Found:
    """Credentials, as alibabacloud-credentials gives them."""

    def __init__(
        self,
        key_id: str | None = "STS.FAKE0001",
        secret: str | None = "fake-secret-0001",
        token: str | None = "fake-security-token-0001",
        expiration: int | None = None,
    ) -> None:
        self.parts = (key_id, secret, token, expiration)

    def get_access_key_id(self) -> str | None:
        return self.parts[0]

    def get_access_key_secret(self) -> str | None:
        return self.parts[1]

    def get_security_token(self) -> str | None:
        return self.parts[2]

    def get_expiration(self) -> int | None:
        return self.parts[3]


def chain(found: object, clock: MovableClock) -> DefaultChain:
    def find() -> Found:
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Found)
        return found

    return DefaultChain(find, "my-role", clock, clock.wall)


def test_credentials_that_tell_when_they_expire() -> None:
    clock = MovableClock()
    expiration = EPOCH + timedelta(seconds=clock.now + 3600)
    got = chain(Found(expiration=int(expiration.timestamp())), clock).fetch(0.0)
    assert got.expiration == expiration
    assert got.expires_in() == 3600
    assert got.role_name == "my-role"
    clock.advance(3600)
    assert got.is_expired()


def test_credentials_that_do_not() -> None:
    clock = MovableClock()
    got = chain(Found(), clock).fetch(0.0)
    assert ASSUMED_LIFE - 1 <= got.expires_in() <= ASSUMED_LIFE


@pytest.mark.parametrize("token", [None, ""])
def test_a_long_lived_pair_is_not_served(token: str | None) -> None:
    with pytest.raises(CredentialsError, match="--assume-role ARN"):
        chain(Found(token=token), MovableClock()).fetch(0.0)


@pytest.mark.parametrize("found", [Found(key_id=""), Found(secret=None)])
def test_an_empty_pair(found: Found) -> None:
    with pytest.raises(CredentialsError, match="empty"):
        chain(found, MovableClock()).fetch(0.0)


def test_the_reason_is_told() -> None:
    error = RuntimeError("EntityNotExist.Role: no such role")
    with pytest.raises(CredentialsError, match=r"EntityNotExist\.Role") as told:
        chain(error, MovableClock()).fetch(0.0)
    assert told.value.__cause__ is None


@pytest.mark.parametrize("key", ["AccessKeySecret", "SecurityToken", "access_key_secret"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_an_answer_with_secrets_is_not_quoted(key: str, quote: str) -> None:
    error = ValueError(f"result: {{{quote}{key}{quote}: {quote}fake-secret-0001{quote}}}")
    with pytest.raises(CredentialsError) as told:
        chain(error, MovableClock()).fetch(0.0)
    assert "fake-secret" not in str(told.value)
    assert "ValueError" in str(told.value)


def test_status_and_refresh() -> None:
    clock = MovableClock()
    provider = DefaultChainProvider(chain(Found(), clock), clock)
    assert provider.status().expires_in == 0
    got = provider.refresh()
    assert provider.get_credentials() == got
    status = provider.status()
    assert status.role_name == "my-role"
    assert status.rotations == 1
    assert status.expires_in == got.expires_in()
    assert not status.is_polling


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "my-role",
        "acs:ram::123:user/x",
        "acs:ram::x:role/y",
        "acs:ram::1:role/",
        "arn:aws:iam::1:role/x",
    ],
)
def test_what_is_no_arn(arn: str) -> None:
    environ: dict[str, str] = {}
    with pytest.raises(ConfigurationError, match="acs:ram::1234567890123456:role/my-role"):
        default_chain_provider(arn, environ=environ)
    assert environ == {}
