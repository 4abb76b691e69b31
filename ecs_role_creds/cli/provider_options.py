"""Options that several commands share, and the provider built from them."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_role_creds import EcsRamRoleCredentialsProvider

ROLE_HELP = (
    "the RAM role that the instance must have (default: $ALIBABA_CLOUD_ECS_METADATA; if unset, "
    "any role)"
)


def add_provider_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--role`` and ``--endpoint``."""
    parser.add_argument("--role", help=ROLE_HELP)
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help="the metadata service (default: $ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT; if "
        "unset, http://100.100.100.200)",
    )


def build_provider(arguments: argparse.Namespace) -> EcsRamRoleCredentialsProvider:
    """Build the provider from the options.

    Raises:
        CredentialsError: An option or a variable has an invalid value.
    """
    from ecs_role_creds import EcsRamRoleCredentialsProvider

    return EcsRamRoleCredentialsProvider(arguments.role, endpoint=arguments.endpoint)


def reporting_errors(
    command: str, work: Callable[[argparse.Namespace], int]
) -> Callable[[argparse.Namespace], int]:
    """Make a command print a :class:`CredentialsError` on one line.

    The exit status is then 2 for an invalid setting, else 1.
    """

    def run(arguments: argparse.Namespace) -> int:
        from ecs_role_creds.errors import ConfigurationError, CredentialsError

        try:
            return work(arguments)
        except CredentialsError as error:
            tell(command, str(error))
            return 2 if isinstance(error, ConfigurationError) else 1

    return run


def tell(command: str, message: str) -> None:
    """Print a line on stderr, in one write, since other threads may print too.

    If that fails (stderr is closed, or its disk is full), the command goes on.
    """
    with contextlib.suppress(OSError, AttributeError, ValueError):
        sys.stderr.write(f"ecs-role-creds {command}: {message}\n")
        sys.stderr.flush()


def seconds(text: str) -> float:
    """Parse an option's value as a number of seconds greater than 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds greater than 0")
    return value


def life(seconds: float) -> str:
    """Format a duration: ``5 h 58 min``, ``58 min``, ``45 s``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
