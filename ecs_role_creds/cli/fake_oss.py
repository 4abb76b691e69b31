"""``ecs-role-creds fake-oss``: a fake OSS with its metadata service, to run an application on."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_role_creds.testing import FakeOss


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Run a fake OSS on loopback until Ctrl-C, with a fake metadata service whose credentials "
        "it accepts. Prints environment variables for both. Objects are kept in memory. The "
        "credentials are fakes."
    )
    parser.epilog = "Example:\n  $ ecs-role-creds fake-oss --bucket pictures --put picture.png\n"
    parser.add_argument(
        "--bucket",
        action="append",
        metavar="NAME",
        help="a bucket to begin with; may be repeated (default: bucket)",
    )
    parser.add_argument(
        "--put",
        action="append",
        default=[],
        metavar="FILE",
        help="a file to store in the first bucket, under its name; may be repeated",
    )
    parser.add_argument("--region", default="cn-fake-1", help="default: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=0, help="of the OSS; default: any free port")
    parser.add_argument(
        "--metadata-port",
        type=int,
        default=0,
        help="of the metadata service; default: any free port",
    )
    parser.add_argument("--role", default="app-role", help="the RAM role (default: %(default)s)")
    parser.add_argument(
        "--life", type=float, default=21600.0, help="seconds that credentials live (default: 6 h)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; returns the exit status."""
    ended = [signal.SIGINT, signal.SIGTERM]
    # Blocked before there are threads, so that the signal reaches the one that waits for it.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, ended)
    try:
        _serve(arguments, ended)
    except (ImportError, ValueError, OSError, OverflowError) as error:
        print(f"ecs-role-creds fake-oss: {error}", file=sys.stderr)
        return 2
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    return 0


def _serve(arguments: argparse.Namespace, ended: list[signal.Signals]) -> None:
    from ecs_role_creds.testing import FakeMetadataServer, FakeOss

    buckets = arguments.bucket or ["bucket"]
    with (
        FakeMetadataServer(
            arguments.role,
            life=arguments.life,
            host=arguments.host,
            port=arguments.metadata_port,
        ) as metadata,
        FakeOss(
            metadata,
            buckets,
            region=arguments.region,
            host=arguments.host,
            port=arguments.port,
        ) as oss,
    ):
        _put_files(oss, buckets[0], arguments.put)
        variables = {
            **metadata.environment,
            "OSS_ENDPOINT": oss.endpoint,
            "OSS_REGION": oss.region,
            "OSS_BUCKET": buckets[0],
        }
        for name, value in variables.items():
            print(f"export {name}={value}")
        sys.stdout.flush()
        signal.sigwait(ended)


def _put_files(oss: FakeOss, bucket: str, files: list[str]) -> None:
    import mimetypes

    for file in files:
        path = Path(file)
        content_type, _ = mimetypes.guess_type(path.name)
        headers = {} if content_type is None else {"content_type": content_type}
        oss.put(bucket, path.name, path.read_bytes(), **headers)
