"""``ecs-role-creds fake-metadata``: run a fake metadata service for clients in any language."""

from __future__ import annotations

import argparse
import signal

from ecs_role_creds.cli.provider_options import tell


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Run a fake metadata service on loopback until Ctrl-C or SIGTERM, then exit with status 0. "
        "Prints the environment variable that points clients to it. Its credentials are fake."
    )
    parser.epilog = "Example:\n  $ ecs-role-creds fake-metadata --role app-role --port 8100\n"
    parser.add_argument(
        "--port", type=int, default=0, help="the port to listen on (default: any free port)"
    )
    parser.add_argument("--role", default="app-role", help="the RAM role (default: %(default)s)")
    parser.add_argument("--no-role", action="store_true", help="start without a role")
    parser.add_argument(
        "--life",
        type=float,
        default=21600.0,
        help="lifetime of the credentials in seconds (default: 21600, 6 hours)",
    )
    parser.add_argument(
        "--mode",
        choices=("both", "hardening-only", "normal-only"),
        default="both",
        help="the modes that the service supports (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the random values: equal seeds give equal credentials (default: 0)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit status."""
    from ecs_role_creds.testing import FakeMetadataServer

    ended = [signal.SIGINT, signal.SIGTERM]
    # Blocked before threads start, so that sigwait() receives the signal.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, ended)
    try:
        with FakeMetadataServer(
            None if arguments.no_role else arguments.role,
            life=arguments.life,
            mode=arguments.mode,
            port=arguments.port,
            seed=arguments.seed,
        ) as server:
            for name, value in server.environment.items():
                print(f"export {name}={value}", flush=True)
            signal.sigwait(ended)
    except (ValueError, OSError, OverflowError) as error:
        tell("fake-metadata", str(error))
        return 2
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    return 0
