"""``ecs-role-creds wait``: wait for credentials, in boot scripts and systemd units."""

from __future__ import annotations

import argparse
import logging

from ecs_role_creds.cli.provider_options import (
    add_provider_options,
    build_provider,
    life,
    reporting_errors,
    seconds,
    tell,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Retry until the credentials of the instance RAM role can be fetched. Prints why it is "
        "still waiting. Exit status: 0 if the credentials were fetched, 1 after the timeout, 2 for "
        "wrong arguments or a wrong setting."
    )
    parser.epilog = (
        "Examples:\n"
        "  $ ecs-role-creds wait && my-service\n"
        "  ExecStartPre=/usr/local/bin/ecs-role-creds wait --timeout 300    (in a systemd unit)\n"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=120.0,
        metavar="SECONDS",
        help="give up after this time (default: 120)",
    )
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    add_provider_options(parser)
    parser.set_defaults(run=reporting_errors("wait", run))


def run(arguments: argparse.Namespace) -> int:
    """Wait, and print each new reason; returns the exit status."""
    provider = build_provider(arguments)
    if not arguments.quiet:
        logging.getLogger("ecs_role_creds").addHandler(Reasons())
    credentials = provider.wait(arguments.timeout)
    if not arguments.quiet:
        left = life(credentials.expires_in())
        tell("wait", f"role {credentials.role_name}, valid for another {left}")
    return 0


class Reasons(logging.Handler):
    """Prints the reason of each failed fetch, but no reason twice in a row."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Print the reason in a record."""
        # The last argument is the error itself; the rest changes with every attempt.
        reason = str(record.args[-1]) if isinstance(record.args, tuple) and record.args else ""
        reason = reason or record.getMessage()
        if reason != self._last:
            self._last = reason
            tell("wait", f"waiting: {reason}")
