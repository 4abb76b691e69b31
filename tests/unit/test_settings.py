"""Arguments, then the environment, then defaults; a bad value names its source."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_role_creds.errors import ConfigurationError, CredentialsError, MetadataDisabledError
from ecs_role_creds.settings import Settings


def resolve(environ: dict[str, str] | None = None, **arguments: Any) -> Settings:
    return Settings.resolve(environ=environ or {}, **arguments)


def test_defaults() -> None:
    assert resolve() == Settings(None, "http://100.100.100.200", 2.0, False, 21600)


def test_environment() -> None:
    settings = resolve(
        {
            "ALIBABA_CLOUD_ECS_METADATA": "env-role",
            "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:8080/",
            "ALIBABA_CLOUD_IMDSV1_DISABLED": "True",
        }
    )
    assert settings == Settings("env-role", "http://127.0.0.1:8080", disable_imds_v1=True)


def test_arguments_win_over_the_environment() -> None:
    environ = {
        "ALIBABA_CLOUD_ECS_METADATA": "env-role",
        "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:8080",
        "ALIBABA_CLOUD_IMDSV1_DISABLED": "true",
    }
    settings = resolve(
        environ, role_name="my-role", endpoint="http://[::1]:81", disable_imds_v1=False
    )
    assert settings == Settings("my-role", "http://[::1]:81", disable_imds_v1=False)


def test_bad_value_in_the_environment_does_not_matter_where_an_argument_is_given() -> None:
    assert resolve({"ALIBABA_CLOUD_ECS_METADATA": "a/b"}, role_name="ok").role_name == "ok"


def test_empty_variables_count_as_not_set() -> None:
    environ = {
        "ALIBABA_CLOUD_ECS_METADATA": "",
        "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": "",
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "",
        "ALIBABA_CLOUD_IMDSV1_DISABLED": "",
    }
    assert resolve(environ) == Settings()


@pytest.mark.parametrize(
    "variable", ["ALIBABA_CLOUD_IMDSV1_DISABLED", "ALIBABA_CLOUD_IMDSV1_DISABLE"]
)
@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), (" TRUE ", True), ("false", False), ("False", False)]
)
def test_both_spellings_of_the_normal_mode_switch(
    variable: str, value: str, expected: bool
) -> None:
    assert resolve({variable: value}).disable_imds_v1 is expected


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_disabled_has_an_error_of_its_own(value: str) -> None:
    with pytest.raises(MetadataDisabledError, match="ALIBABA_CLOUD_ECS_METADATA_DISABLED"):
        resolve({"ALIBABA_CLOUD_ECS_METADATA_DISABLED": value})


@pytest.mark.parametrize(
    "variable",
    [
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED",
        "ALIBABA_CLOUD_IMDSV1_DISABLED",
        "ALIBABA_CLOUD_IMDSV1_DISABLE",
    ],
)
@pytest.mark.parametrize("value", ["1", "yes", "on", "ture"])
def test_switches_are_true_or_false(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match="true or false") as caught:
        resolve({variable: value})
    assert caught.value.source == variable
    assert variable in str(caught.value)


@pytest.mark.parametrize(
    "role_name",
    ["", "a/b", "..", ".", "x" * 65, "rolé", "a b", "a\n", "acs:ram::1:role/app", "a%2fb", 7],
)
def test_role_names_that_cannot_be(role_name: object) -> None:
    with pytest.raises(ConfigurationError, match="a role name is") as caught:
        resolve(role_name=role_name)
    assert caught.value.source == "role_name"


def test_role_name_from_the_environment_names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match=r"^ALIBABA_CLOUD_ECS_METADATA is 'a/b'"):
        resolve({"ALIBABA_CLOUD_ECS_METADATA": "a/b"})


@pytest.mark.parametrize("role_name", ["a", "App-Role_1.prod@x", "x" * 64, "..."])
def test_role_names_that_can_be(role_name: str) -> None:
    assert resolve(role_name=role_name).role_name == role_name


@pytest.mark.parametrize(
    "endpoint",
    [
        "100.100.100.200",
        "https://100.100.100.200",
        "ftp://host",
        "http://",
        "http://:80",
        "http://host:port",
        "http://host:0",
        "http://host:99999",
        "http://host/latest",
        "http://host?x=1",
        "http://host#x",
        "http://ho st",
        "http://host\r\nX: 1",
        "http://[::1",
        "",
        7,
    ],
)
def test_endpoints_that_cannot_be(endpoint: object) -> None:
    with pytest.raises(ConfigurationError, match="http://HOST") as caught:
        resolve(endpoint=endpoint)
    assert caught.value.source == "endpoint"


def test_password_in_an_endpoint_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve(endpoint="http://user:fake-password@host")
    assert "fake-password" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:80/", "http://127.0.0.1"),
        ("HTTP://Metadata.Example:8080", "http://metadata.example:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_equal_endpoints_are_spelled_alike(endpoint: str, expected: str) -> None:
    assert resolve(endpoint=endpoint).endpoint == expected


@pytest.mark.parametrize(
    "deadline", [0, -1, 61, float("nan"), float("inf"), "2", None, True, 10**400]
)
def test_deadlines_that_cannot_be(deadline: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^deadline is"):
        resolve(deadline=deadline)


@pytest.mark.parametrize("ttl", [0, -1, 21601, 1.5, "60", None, True])
def test_session_token_ttls_that_cannot_be(ttl: object) -> None:
    with pytest.raises(ConfigurationError, match="1 to 21600"):
        resolve(session_token_ttl=ttl)


@pytest.mark.parametrize("value", ["true", 1, 0])
def test_disable_imds_v1_is_a_bool(value: object) -> None:
    with pytest.raises(ConfigurationError, match="True or False"):
        resolve(disable_imds_v1=value)


def test_configuration_errors_are_value_errors_and_credentials_errors() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ConfigurationError, CredentialsError)


def test_hashable_and_frozen() -> None:
    assert hash(resolve(role_name="a")) == hash(resolve(role_name="a"))
    with pytest.raises(AttributeError):
        resolve().role_name = "x"  # type: ignore[misc]
