"""The checks of the metadata service and its credentials: pure functions to findings.

``checks_around`` has the checks of everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from ecs_role_creds.cli.doctor import checks_around
from ecs_role_creds.cli.doctor.bucket_words import check_bucket
from ecs_role_creds.cli.doctor.observations import Exchange, Fetched, Finding, Observations
from ecs_role_creds.cli.output import printable
from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.settings import DEFAULT_ENDPOINT, ENDPOINT, IMDS_V1_DISABLED, ROLE_NAME

Check = Callable[[Observations], Iterator[Finding]]

ROTATION_LEAD = timedelta(minutes=30)  # stated by Alibaba Cloud
ROTATION_OVERDUE = timedelta(minutes=15)
SMALL_SKEW = timedelta(seconds=5)
OSS_SKEW_LIMIT = timedelta(minutes=15)  # documented: RequestTimeTooSkewed beyond it

_WHO_ANSWERS = (
    "Check what is listening at that address: a proxy, a captive portal, or a test server."
)


def run_checks(seen: Observations) -> list[tuple[str, Finding]]:
    """Run all checks; returns their findings, each with the name of the check."""
    return [(name, finding) for name, check in CHECKS.items() for finding in check(seen)]


def check_address(seen: Observations) -> Iterator[Finding]:
    """Whether the metadata service answers, and how fast."""
    first = next(iter(seen.exchanges), None)
    if first is None or isinstance(seen.settings, CredentialsError):
        yield Finding("skipped", "No request was sent to the metadata service.")
        return
    endpoint = seen.settings.endpoint
    if seen.is_reachable:
        yield Finding("ok", f"{endpoint} answers in {first.seconds * 1000:.0f} ms.")
        return
    silence = _describe_silence(endpoint, first)
    if endpoint != DEFAULT_ENDPOINT:
        yield Finding(
            "failed",
            f"{silence} {ENDPOINT} names this address.",
            f"Start the service at that address, or unset {ENDPOINT}.",
        )
    elif seen.place.is_ecs_hardware:
        yield Finding(
            "failed",
            f"{silence} The hardware says that this is an ECS instance.",
            "Check that no firewall rule or route on the instance blocks 100.100.100.200, and that "
            "metadata access is enabled in the instance's metadata options (HttpEndpoint).",
        )
    elif seen.place.container:
        yield Finding(
            "failed",
            f"{silence} This process runs in a container.",
            "If the host is an ECS instance, check that the container's network and network "
            "policies allow connections to 100.100.100.200. On any other host there is no instance "
            "RAM role.",
        )
    else:
        yield Finding(
            "failed",
            f"{silence} This does not look like an ECS instance.",
            "Use other credentials here, for example a profile of the aliyun CLI. For development "
            "and tests, run a fake metadata service: ecs-role-creds fake-metadata",
        )


def _describe_silence(endpoint: str, exchange: Exchange) -> str:
    if exchange.problem == "timed out":
        return f"Nothing answers at {endpoint} within {exchange.seconds:.1f} s."
    if exchange.problem == "no HTTP":
        return f"The response from {endpoint} is not HTTP."
    if exchange.problem == "closed":
        return f"{endpoint} closes the connection without a response."
    reasons = {
        "refused": "the connection was refused",
        "unknown host": "the host name cannot be resolved",
    }
    how = reasons.get(exchange.problem or "", "there is no route to the host")
    return f"Nothing answers at {endpoint}: {how}."


def check_hardening_mode(seen: Observations) -> Iterator[Finding]:
    """Whether the service supports the security hardening mode (IMDSv2)."""
    asked = seen.exchange("session token")
    if asked is None or asked.status is None:
        return
    if asked.status == 200:
        yield Finding("ok", "The service supports the security hardening mode (IMDSv2).")
    elif asked.status in (404, 405):
        yield Finding(
            "warning",
            f"The service does not support the security hardening mode: it answered "
            f"{asked.status} to the request for a session token.",
            "The library uses the normal mode here. Check the address: in Alibaba Cloud's public "
            "regions the service supports the hardening mode.",
        )
    elif asked.status == 403:
        yield Finding(
            "warning",
            "The service refuses to issue a session token (403).",
            "Either it does not support the security hardening mode, or the request went through a "
            "proxy: the service refuses forwarded requests.",
        )
    elif asked.status == 429 or asked.status >= 500:
        yield Finding("failed", *_unavailable(asked.status, "a session token"))
    else:
        yield Finding(
            "failed",
            f"The service answered {asked.status} to the request for a session token.",
            _WHO_ANSWERS,
        )


def check_normal_mode(seen: Observations) -> Iterator[Finding]:
    """Whether the service still answers without a session token (IMDSv1)."""
    if not seen.is_reachable:
        return
    asked = seen.exchange("normal mode")
    token = seen.exchange("session token")
    if asked is None:
        reason = f"The normal mode was not tried: {IMDS_V1_DISABLED} disables it."
        yield Finding("skipped", reason)
    elif asked.status == 403:
        yield Finding("ok", "The service refuses the normal mode (IMDSv1).")
    elif asked.status == 200 and token is not None and token.status == 200:
        yield Finding(
            "warning",
            "The service still answers in the normal mode (IMDSv1): anyone who can make an "
            "application on this instance fetch a URL (SSRF) can read the credentials.",
            "When no program needs the normal mode any more, run: aliyun ecs "
            "ModifyInstanceMetadataOptions --RegionId REGION --InstanceId INSTANCE --HttpEndpoint "
            "enabled --HttpTokens required",
        )
    elif asked.status == 200:
        yield Finding("note", "The service answers in the normal mode (IMDSv1).")
    else:
        what = asked.problem or f"status {asked.status}"
        yield Finding("note", f"A request in the normal mode failed ({what}).")


def check_role(seen: Observations) -> Iterator[Finding]:
    """Whether the instance has a role, and whether it is the expected one."""
    asked = seen.exchange("role name")
    if asked is None or isinstance(seen.settings, CredentialsError):
        return
    expected = seen.settings.role_name
    if asked.role_name is not None and expected in (None, asked.role_name):
        yield Finding("ok", f"The role {asked.role_name} is attached.")
    elif asked.role_name is not None:
        source = ROLE_NAME if seen.environ.get(ROLE_NAME) == expected else "--role"
        yield Finding(
            "failed",
            f"The role {asked.role_name} is attached, but {source} says {expected}.",
            f"Correct {source}, or remove it to use the attached role.",
        )
    elif asked.status == 404:
        yield Finding(
            "failed",
            "No RAM role is attached to the instance.",
            "Attach one in the ECS console, or run: aliyun ecs AttachInstanceRamRole --RegionId "
            "REGION --InstanceIds '[\"INSTANCE\"]' --RamRoleName ROLE. No restart is needed.",
        )
    elif asked.status in (401, 403):
        yield Finding(
            "failed",
            f"The service refused the request for the role's name ({asked.status}).",
            "A proxy or a container's network may change or forward the request. Run doctor on the "
            "instance itself, and check the instance's metadata options.",
        )
    elif asked.status is None:
        yield Finding("failed", f"The request for the role's name failed: {asked.problem}.")
    elif asked.status == 429 or asked.status >= 500:
        yield Finding("failed", *_unavailable(asked.status, "the role's name"))
    else:
        reason = (
            "The response to the request for the role's name is not a role name."
            if asked.status == 200
            else f"The service answered {asked.status} to the request for the role's name."
        )
        yield Finding("failed", reason, _WHO_ANSWERS)


def check_credentials(seen: Observations) -> Iterator[Finding]:
    """Whether the library gets credentials, and how long they are valid."""
    if isinstance(seen.fetched, CredentialsError):
        yield Finding("failed", printable(str(seen.fetched)))
    elif seen.fetched is not None:
        yield Finding(
            "ok",
            f"Credentials of role {seen.fetched.role_name or 'unknown'}, valid for "
            f"{_span(timedelta(seconds=seen.fetched.expires_in))}, until "
            f"{seen.fetched.expiration:%Y-%m-%d %H:%M:%S} UTC.",
        )
    else:
        yield Finding("failed", "No credentials were fetched: see above.")


def check_rotation(seen: Observations) -> Iterator[Finding]:
    """When the service rotates the credentials, and whether it is late."""
    if not isinstance(seen.fetched, Fetched):
        return
    life = timedelta(seconds=seen.fetched.expires_in)
    if life <= ROTATION_OVERDUE:
        yield Finding(
            "warning",
            f"The credentials expire in {_span(life)}, and the service has not rotated them yet. "
            "It usually does so about 30 minutes before.",
            "Run doctor again in a few minutes. If they are not rotated by then, detach the role "
            "from the instance and attach it again.",
        )
    elif life <= ROTATION_LEAD:
        yield Finding("ok", "The service is about to rotate the credentials.")
    else:
        due = seen.fetched.expiration - ROTATION_LEAD
        yield Finding(
            "ok",
            f"The service rotates the credentials at about {due:%H:%M} UTC, in "
            f"{_span(life - ROTATION_LEAD)}.",
        )


def check_clock(seen: Observations) -> Iterator[Finding]:
    """Whether the instance's clock agrees with the service's."""
    times = next(filter(None, map(_times_of, seen.exchanges)), None)
    if times is None:
        if seen.is_reachable:
            yield Finding("note", "The service sends no Date, so its clock cannot be compared.")
        return
    service, instance = times
    # The service sends whole seconds: the middle of that second is the best guess.
    skew = instance - service - timedelta(seconds=0.5)
    how = f"{_span(abs(skew))} {'ahead of' if skew > timedelta(0) else 'behind'} the service's"
    advice = "Synchronize it, for example with chrony and the NTP servers ntp.aliyun.com."
    if abs(skew) <= SMALL_SKEW:
        yield Finding("ok", "The clock agrees with the service's.")
    elif abs(skew) < OSS_SKEW_LIMIT:
        yield Finding(
            "warning",
            f"The clock is {how}. This library uses the service's clock; other clients may use "
            "expired credentials, or refresh them too often.",
            advice,
        )
    else:
        yield Finding(
            "failed",
            f"The clock is {how}. OSS refuses requests if it is wrong by more than 15 minutes "
            "(RequestTimeTooSkewed).",
            advice,
        )


def _times_of(exchange: Exchange) -> tuple[datetime, datetime] | None:
    """Return the service's and the instance's time of one response, if both are known."""
    if exchange.date is None or exchange.answered_at is None:
        return None
    return exchange.date, exchange.answered_at


def _unavailable(status: int, wanted: str) -> tuple[str, str]:
    if status == 429:
        return (
            f"The service limits the rate of requests (429 for {wanted}).",
            "Check for other processes on the instance that poll the service.",
        )
    return (
        f"The service answered {status} for {wanted}.",
        "Run doctor again in a minute. If this continues, open a ticket with Alibaba Cloud.",
    )


def _span(time: timedelta) -> str:
    """Format a time span in the one or two largest units."""
    seconds = time.total_seconds()
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


CHECKS: dict[str, Check] = {
    "settings": checks_around.check_settings,
    "place": checks_around.check_place,
    "address": check_address,
    "hardening mode": check_hardening_mode,
    "normal mode": check_normal_mode,
    "role": check_role,
    "credentials": check_credentials,
    "rotation": check_rotation,
    "clock": check_clock,
    "proxies": checks_around.check_proxies,
    "other credentials": checks_around.check_key_variables,
    "leftovers": checks_around.check_leftovers,
    "bucket": check_bucket,
}
"""All checks by the name that is shown, in the order of the output."""
