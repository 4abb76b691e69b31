"""``ecs-role-creds doctor``: says why credentials cannot be fetched, or what is at risk.

``observe`` does all the I/O and returns :class:`~.observations.Observations`; ``checks`` and
``checks_around`` turn them into findings and do no I/O; ``report`` writes them down.

To add a check: write a function from observations to findings, and name it in
``checks.CHECKS``.
"""

from ecs_role_creds.cli.doctor.command import configure

__all__ = ["configure"]
