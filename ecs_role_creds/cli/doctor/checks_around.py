"""The checks of the environment and of files: pure functions from observations to findings."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ecs_role_creds.cli.doctor.known_places import KEY_VARIABLES
from ecs_role_creds.cli.doctor.observations import Finding, Observations
from ecs_role_creds.cli.output import printable
from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.settings import (
    DEFAULT_ENDPOINT,
    DISABLED,
    ENDPOINT,
    IMDS_V1_DISABLED,
    IMDS_V1_DISABLED_OLD,
    ROLE_NAME,
    Settings,
)

PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
NO_PROXY_VARIABLES = ("no_proxy", "NO_PROXY")


def check_settings(seen: Observations) -> Iterator[Finding]:
    """The settings in the environment, and what they override."""
    if isinstance(seen.settings, CredentialsError):
        yield Finding("failed", printable(str(seen.settings)))
        return
    lines = list(_overridden(seen.environ, seen.settings))
    for line in lines:
        yield Finding("note", line)
    if not lines:
        yield Finding("ok", "No environment variable changes the library's settings.")


def _overridden(environ: Mapping[str, str], settings: Settings) -> Iterator[str]:
    if environ.get(ENDPOINT):
        yield f"{ENDPOINT} sets the endpoint: {settings.endpoint} instead of {DEFAULT_ENDPOINT}."
    if environ.get(ROLE_NAME) and settings.role_name == environ[ROLE_NAME]:
        yield f"{ROLE_NAME} requires the role {settings.role_name}."
    elif environ.get(ROLE_NAME):
        yield f"--role overrides {ROLE_NAME}."
    for variable in (IMDS_V1_DISABLED, IMDS_V1_DISABLED_OLD):
        if environ.get(variable, "").strip().lower() == "true":
            yield f"{variable} disables the normal mode (IMDSv1)."
    if environ.get(DISABLED):
        yield f"{DISABLED} is false, which is the default."


def check_place(seen: Observations) -> Iterator[Finding]:
    """Where this process runs."""
    place = seen.place
    if place.is_wsl:
        yield Finding(
            "note",
            "This is the Windows Subsystem for Linux. There is an instance RAM role only if the "
            "Windows machine is an ECS instance.",
        )
    if place.container:
        yield Finding("note", f"This process runs in a container ({place.container}).")
    if place.is_ecs_hardware:
        yield Finding("ok", "The hardware says that this is an ECS instance.")
    elif place.is_ecs_hardware is False:
        yield Finding("note", "The hardware does not say that this is an ECS instance.")


def check_proxies(seen: Observations) -> Iterator[Finding]:
    """Whether other clients would send metadata requests through a proxy."""
    endpoint = DEFAULT_ENDPOINT if isinstance(seen.settings, CredentialsError) else ""
    endpoint = endpoint or seen.settings.endpoint  # type: ignore[union-attr]
    host = urlsplit(endpoint).hostname or ""
    proxies = [name for name in PROXY_VARIABLES if seen.environ.get(name)]
    exceptions = ",".join(seen.environ.get(name, "") for name in NO_PROXY_VARIABLES)
    if not proxies:
        yield Finding("ok", "No proxy variable affects metadata requests.")
    elif is_exempt(host, exceptions):
        yield Finding(
            "ok",
            f"{proxies[0]} is set, and NO_PROXY exempts {host}. But alibabacloud-credentials for "
            "Python ignores NO_PROXY.",
        )
    else:
        yield Finding(
            "warning",
            f"Other clients send metadata requests through the proxy in {' and '.join(proxies)}, "
            "which can then read the role's credentials. This library uses no proxy.",
            f"Add {host} to NO_PROXY.",
        )


def is_exempt(host: str, exceptions: str) -> bool:
    """Whether a ``NO_PROXY`` value covers a host: by name, domain, address, network or ``*``."""
    for exception in filter(None, (part.strip() for part in exceptions.split(","))):
        name = exception.lstrip("*").lstrip(".").partition(":")[0].lower()
        if exception == "*" or host == name or host.endswith(f".{name}"):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False):
                return True
        except ValueError:
            continue
    return False


def check_key_variables(seen: Observations) -> Iterator[Finding]:
    """Variables that make some SDK use other credentials than the instance RAM role's."""
    found = False
    for variables in KEY_VARIABLES:
        if all(seen.environ.get(name) for name in variables.names):
            found = True
            yield Finding(
                "warning",
                f"{' and '.join(variables.names)} take precedence over the instance RAM role in "
                f"{variables.read_by}. This library ignores them.",
                "Unset them for programs that should use the instance RAM role. Delete the "
                "AccessKey pair in the RAM console once nothing uses it.",
            )
    endpoint = next(
        (name for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
         if "aliyuncs.com" in seen.environ.get(name, "")), None
    )  # fmt: skip
    if endpoint and seen.environ.get("AWS_ACCESS_KEY_ID"):
        found = True
        yield Finding(
            "warning",
            f"AWS_ACCESS_KEY_ID is set and {endpoint} points to OSS: S3 tools use that pair.",
            "Pass the role's credentials to S3 tools instead, with: ecs-role-creds exec --aws",
        )
    if not found:
        yield Finding("ok", "No variable makes an SDK use other credentials than the role's.")


def check_leftovers(seen: Observations) -> Iterator[Finding]:
    """Configuration files of other programs that contain an AccessKey pair."""
    for file in seen.leftovers:
        path = printable(file.path)
        if file.is_readable:
            yield Finding(
                "warning",
                f"{path} contains an AccessKey pair. It is read by {file.read_by}.",
                "Configure the program to use the instance RAM role, then delete the pair in the "
                "RAM console and remove it from the file.",
            )
        else:
            yield Finding("note", f"{path} (read by {file.read_by}) cannot be read by this user.")
    if not seen.leftovers:
        yield Finding("ok", "No configuration file of another program contains an AccessKey pair.")
