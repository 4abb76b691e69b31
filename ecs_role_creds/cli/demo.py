"""``ecs-role-creds demo``: the whole guide on loopback, or one download on an instance."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DURATION = 15.0
OUTPUT_FOLDER = Path("demo-output")
INSTALL_HINT = "pip install 'ecs-role-creds[demo]'"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Set up a role with the role command, upload a picture and download it again and again "
        "while the role's token rotates and the metadata service goes down for a while, change the "
        "role under the running application, and remove everything. All of it runs on loopback. "
        "With --bucket, --endpoint and --object, on an ECS instance with a RAM role: download that "
        "object from OSS with the role's credentials."
    )
    parser.epilog = (
        "Examples:\n"
        "  $ ecs-role-creds demo\n"
        "  $ ecs-role-creds demo --bucket example-bucket --object hello.txt \\\n"
        "      --endpoint https://oss-cn-hangzhou-internal.aliyuncs.com --region cn-hangzhou\n"
    )
    parser.add_argument("--bucket", help="download from this bucket, for real")
    parser.add_argument("--endpoint", help="OSS's, such as https://oss-cn-hangzhou.aliyuncs.com")
    parser.add_argument("--object", help="the object to download")
    parser.add_argument("--region", help="such as cn-hangzhou; makes the signature a V4 one")
    parser.add_argument("--role", help="the RAM role the instance must have (default: any)")
    parser.add_argument("--output", type=Path, help=f"file to write (default: in {OUTPUT_FOLDER}/)")
    parser.add_argument(
        "--duration",
        type=float,
        default=DURATION,
        help="seconds to go on downloading before the role is changed (default: %(default)g)",
    )
    parser.set_defaults(run=lambda arguments: run(arguments, parser))


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run the demo; returns the exit status."""
    real = [arguments.bucket, arguments.endpoint, arguments.object]
    if any(real) and not all(real):
        parser.error("--bucket, --endpoint and --object go together")
    if arguments.region and not any(real):
        parser.error("--region is for --bucket, --endpoint and --object")
    try:
        if all(real):
            return _download_once(arguments)
        from ecs_role_creds.cli.demo_story import OBJECT_NAME, tell_story

        output = arguments.output or OUTPUT_FOLDER / OBJECT_NAME
        return tell_story(arguments.role or "app-role", arguments.duration, output)
    except ImportError as error:
        print(f"ecs-role-creds demo: {error}; the demo needs: {INSTALL_HINT}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _download_once(arguments: argparse.Namespace) -> int:
    """The official guide's sample: download an object with the instance role's credentials."""
    import oss2

    from ecs_role_creds import CredentialsError, EcsRamRoleCredentialsProvider

    output = arguments.output or OUTPUT_FOLDER / (Path(arguments.object).name or "object")
    try:
        provider = EcsRamRoleCredentialsProvider(arguments.role)
        auth = (oss2.ProviderAuthV4 if arguments.region else oss2.ProviderAuth)(provider)
        bucket = oss2.Bucket(auth, arguments.endpoint, arguments.bucket, region=arguments.region)
        output.parent.mkdir(parents=True, exist_ok=True)
        bucket.get_object_to_file(arguments.object, str(output))
        credentials = provider.get_credentials()
    except (CredentialsError, oss2.exceptions.OssError, OSError) as error:
        print(f"ecs-role-creds demo: {error}", file=sys.stderr)
        return 1
    print(
        f"{output}: {output.stat().st_size:,} bytes, downloaded as role {credentials.role_name}, "
        f"whose token lives for another {credentials.expires_in() / 60:.0f} minutes"
    )
    return 0
