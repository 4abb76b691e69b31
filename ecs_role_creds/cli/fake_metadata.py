"""``ecs-role-creds fake-metadata``: a fake metadata service, for any client or language."""

from __future__ import annotations

import argparse
import signal
import sys


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Run a fake metadata service on loopback until Ctrl-C. Prints the environment variables "
        "that point clients at it. The credentials it hands out are fakes."
    )
    parser.epilog = "Example:\n  $ ecs-role-creds fake-metadata --role app-role --port 8100\n"
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--role", default="app-role", help="the RAM role (default: %(default)s)")
    parser.add_argument("--no-role", action="store_true", help="attach no role")
    parser.add_argument(
        "--life", type=float, default=21600.0, help="seconds that credentials live (default: 6 h)"
    )
    parser.add_argument(
        "--mode",
        choices=("both", "hardening-only", "normal-only"),
        default="both",
        help="which modes it answers in (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="makes runs alike")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from ecs_role_creds.testing import FakeMetadataServer

    ended = [signal.SIGINT, signal.SIGTERM]
    # Blocked before there are threads, so that the signal reaches the one that waits for it.
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
        print(f"ecs-role-creds fake-metadata: {error}", file=sys.stderr)
        return 2
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    return 0
