"""The result of a health check: a pure function of the provider's state."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ecs_role_creds.state import State

Condition = Literal["ok", "failing", "refused", "no-credentials", "not-started"]


class Health(NamedTuple):
    """The result of a health check. Contains no secret.

    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> health = EcsRamRoleCredentialsProvider().check_health()
    >>> health.is_healthy, health.condition
    (True, 'ok')
    >>> health.reason
    'The credentials are valid for another ... s.'

        >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
        >>> found = EcsRamRoleCredentialsProvider().check_health()
        >>> found.is_healthy, found.condition
        (True, 'ok')

    Attributes:
        is_healthy: Whether the provider has valid credentials that no service has refused.
        condition: ``"ok"``; ``"failing"``: the cached credentials are valid, but the last fetch
            failed; ``"refused"``: a service refused them, and they were not replaced;
            ``"no-credentials"``: there are no valid credentials; ``"not-started"``: nothing has
            been fetched yet.
        reason: The condition as a sentence, with the error of the last fetch, if it failed.
        expires_in: Seconds until the cached credentials expire; 0 if there are none.
    """

    is_healthy: bool
    condition: Condition
    reason: str
    expires_in: float


def health_of(state: State, now: float) -> Health:
    """Return the health for a state, at a time on its clock."""
    expires_in = max(0.0, state.expires_at - now)
    valid_for = f"valid for another {expires_in:.0f} s"
    failure = f"The last fetch failed: {state.failure}" if state.failure else ""
    if expires_in == 0.0:
        if failure or state.credentials is not None:
            reason = failure or "The credentials have expired, and no new ones were requested yet."
            return Health(False, "no-credentials", reason, expires_in)
        return Health(False, "not-started", "Nothing has been fetched yet.", expires_in)
    if state.is_refused:
        reason = f"A service refused the credentials, and they were not replaced. {failure}"
        return Health(False, "refused", reason.strip(), expires_in)
    if failure:
        return Health(True, "failing", f"The credentials are {valid_for}. {failure}", expires_in)
    return Health(True, "ok", f"The credentials are {valid_for}.", expires_in)
