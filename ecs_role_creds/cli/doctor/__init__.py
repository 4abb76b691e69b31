"""``ecs-role-creds doctor``: find out why credentials cannot be fetched.

``observe`` does all the I/O and returns :class:`~.observations.Observations`. ``checks`` and
``checks_around`` turn them into findings and do no I/O. ``report`` builds the report.

To add a check, write a function from observations to findings and add it to ``checks.CHECKS``.
"""

from ecs_role_creds.cli.doctor.command import configure

__all__ = ["configure"]
