"""``ecs-role-creds fake-oss``: run a fake OSS with a fake metadata service."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ecs_role_creds.cli.packages import needs
from ecs_role_creds.cli.provider_options import tell

if TYPE_CHECKING:
    from ecs_role_creds.testing import FakeOss


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Run a fake OSS on loopback, and a fake metadata service whose credentials it accepts, "
        "until Ctrl-C or SIGTERM, then exit with status 0. Prints environment variables for both. "
        "Objects are kept in memory. The credentials are fake. Needs: pip install "
        "'ecs-role-creds[testing-oss]'"
    )
    parser.epilog = "Example:\n  $ ecs-role-creds fake-oss --bucket pictures --put picture.png\n"
    parser.add_argument(
        "--bucket",
        action="append",
        metavar="NAME",
        help="a bucket to create; may be repeated (default: bucket)",
    )
    parser.add_argument(
        "--put",
        action="append",
        default=[],
        metavar="FILE",
        help="a file to upload to the first bucket under its file name; may be repeated",
    )
    parser.add_argument("--region", default="cn-fake-1", help="the region (default: %(default)s)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=0, help="the port of the OSS (default: any free port)"
    )
    parser.add_argument(
        "--metadata-port",
        type=int,
        default=0,
        help="the port of the metadata service (default: any free port)",
    )
    parser.add_argument("--role", default="app-role", help="the RAM role (default: %(default)s)")
    parser.add_argument(
        "--life",
        type=float,
        default=21600.0,
        help="lifetime of the credentials in seconds (default: 21600, 6 hours)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit status."""
    ended = [signal.SIGINT, signal.SIGTERM]
    # Blocked before threads start, so that sigwait() receives the signal.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, ended)
    try:
        _serve(arguments, ended)
    except ImportError as error:
        tell("fake-oss", needs("this command", error, "testing-oss"))
        return 2
    except (ValueError, OSError, OverflowError) as error:
        tell("fake-oss", str(error))
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
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot read {file}: {error.strerror}. Check --put.") from error
        oss.put(bucket, path.name, content, **headers)
