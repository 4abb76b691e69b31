"""``ecs-role-creds demo``: every step on loopback, or one real download on an instance."""

from __future__ import annotations

import argparse
from pathlib import Path

from ecs_role_creds.cli.packages import needs
from ecs_role_creds.cli.provider_options import tell

DURATION = 15.0
OUTPUT_FOLDER = Path("demo-output")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Show the library at work against fake services on loopback: create a role, upload a "
        "picture, download it repeatedly while the credentials rotate and the metadata service "
        "has an outage, change the role while the application runs, and remove everything.\n\n"
        "With --bucket, --endpoint and --object, download one object from the real OSS with the "
        "instance RAM role's credentials. Needs: pip install 'ecs-role-creds[demo]'"
    )
    parser.epilog = (
        "Examples:\n"
        "  $ ecs-role-creds demo\n"
        "  $ ecs-role-creds demo --bucket example-bucket --object hello.txt \\\n"
        "      --endpoint https://oss-cn-hangzhou-internal.aliyuncs.com --region cn-hangzhou\n"
    )
    parser.add_argument("--bucket", help="the real OSS bucket to download from")
    parser.add_argument(
        "--endpoint", help="the OSS endpoint, such as https://oss-cn-hangzhou.aliyuncs.com"
    )
    parser.add_argument("--object", help="the object to download")
    parser.add_argument(
        "--region", help="the region, such as cn-hangzhou: sign with V4 (default: with V1)"
    )
    parser.add_argument("--role", help="the RAM role that the instance must have (default: any)")
    parser.add_argument(
        "--output", type=Path, help=f"the file to write (default: in {OUTPUT_FOLDER}/)"
    )
    parser.add_argument(
        "--duration",
        type=float,
        default=DURATION,
        help="seconds to download before the role is changed (default: %(default)g)",
    )
    parser.set_defaults(run=lambda arguments: run(arguments, parser))


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run the demo; returns the exit status."""
    real = [arguments.bucket, arguments.endpoint, arguments.object]
    if any(real) and not all(real):
        parser.error("pass --bucket, --endpoint and --object together, or none of them")
    if arguments.region and not any(real):
        parser.error("--region needs --bucket, --endpoint and --object")
    try:
        if all(real):
            return _download_once(arguments)
        from ecs_role_creds.cli.demo_story import OBJECT_NAME, tell_story

        output = arguments.output or OUTPUT_FOLDER / OBJECT_NAME
        return tell_story(arguments.role or "app-role", arguments.duration, output)
    except ImportError as error:
        tell("demo", needs("this command", error, "demo"))
        return 2
    except KeyboardInterrupt:
        return 130


def _download_once(arguments: argparse.Namespace) -> int:
    """Download one object with the instance RAM role's credentials."""
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
        tell("demo", str(error))
        return 1
    print(
        f"{output}: {output.stat().st_size:,} bytes, downloaded as role {credentials.role_name}, "
        f"whose credentials are valid for another {credentials.expires_in() / 60:.0f} minutes"
    )
    return 0
