"""What a health check says about a provider: a pure function of its state."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ecs_role_creds.state import State

Condition = Literal["ok", "failing", "refused", "no-credentials", "not-started"]


class Health(NamedTuple):
    """The result of a health check. Holds no secret.

        >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
        >>> found = EcsRamRoleCredentialsProvider().check_health()
        >>> found.is_healthy, found.condition
        (True, 'ok')

    Attributes:
        is_healthy: Whether the provider can serve credentials that are not known to be refused.
        condition: ``"ok"``; ``"failing"``: the cached credentials are valid, but the last fetch
            failed; ``"refused"``: a service refused them, and they were not replaced;
            ``"no-credentials"``: there are no valid ones; ``"not-started"``: nothing has been
            fetched yet.
        reason: The same as a sentence, for people.
        expires_in: Seconds until the cached credentials expire; 0 if there are none.
    """

    is_healthy: bool
    condition: Condition
    reason: str
    expires_in: float


def health_of(state: State, now: float) -> Health:
    """Judge a state at a time."""
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
