"""``ecs-role-creds demo``: a picture to and from OSS while the role's token rotates underneath."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_role_creds.testing import FakeMetadataServer, FakeOss

TOKEN_LIFE = 6.0
DURATION = 20.0
# Over the moment at which the third token is to be refreshed; it outlives the outage.
OUTAGE_TOKEN, OUTAGE_DELAY, OUTAGE_LENGTH = 3, 2.0, 2.5
PAUSE = 0.02
OUTPUT_FOLDER = Path("demo-output")
OBJECT_NAME = "picture.png"
INSTALL_HINT = "pip install 'ecs-role-creds[demo]'"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Upload a picture and download it again and again, while the role's token rotates and the "
        "metadata service goes down for a while. Everything runs on loopback. With --bucket, "
        "--endpoint and --object, on an ECS instance with a RAM role: download that object from "
        "OSS with the role's credentials."
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
        help="seconds to go on downloading on loopback (default: %(default)g)",
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
        return _download_once(arguments) if all(real) else _download_through_rotations(arguments)
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


def _download_through_rotations(arguments: argparse.Namespace) -> int:
    import oss2

    from ecs_role_creds import EcsRamRoleCredentialsProvider
    from ecs_role_creds.cli.picture import draw_picture
    from ecs_role_creds.testing import FakeMetadataServer, FakeOss

    picture, output = draw_picture(), arguments.output or OUTPUT_FOLDER / OBJECT_NAME
    tell = _Teller()
    with ExitStack() as stack:
        role = arguments.role or "app-role"
        metadata = stack.enter_context(FakeMetadataServer(role, life=TOKEN_LIFE))
        oss = stack.enter_context(FakeOss(metadata, ["pictures"]))
        provider = EcsRamRoleCredentialsProvider(endpoint=metadata.endpoint)
        # Both kinds of signature take the provider as it is.
        v4, v1 = (
            oss2.Bucket(auth, oss.endpoint, "pictures", region=oss.region)
            for auth in (oss2.ProviderAuthV4(provider), oss2.ProviderAuth(provider))
        )
        tell(f"a fake metadata service at {metadata.endpoint}, a fake OSS at {oss.endpoint}")
        tell(f"role {role} attached; tokens live {TOKEN_LIFE:g} s here, 6 hours on an instance")
        v4.put_object(OBJECT_NAME, picture)
        tell(f"{OBJECT_NAME} uploaded ({len(picture):,} bytes), signed with the role's token")
        damaged = 0
        events = _course_of_events(metadata, oss, tell, arguments.duration)
        for downloads, is_down in enumerate(events, start=1):
            bucket = v4 if downloads % 2 else v1
            try:
                damaged += bucket.get_object(OBJECT_NAME).read() != picture
            except oss2.exceptions.ServerError as error:
                tell(f"refused: {error.code}")  # and counted by the fake OSS
            tell.progress(downloads, len(_tokens(oss)), is_down)
        output.parent.mkdir(parents=True, exist_ok=True)
        v4.get_object_to_file(OBJECT_NAME, str(output))
        tell("done")
        return conclude(oss, damaged, output)


def _course_of_events(
    metadata: FakeMetadataServer, oss: FakeOss, tell: Callable[[str], None], duration: float
) -> Iterator[bool]:
    """Whether the metadata service is down, once for each download that is to be made."""
    begun, known_tokens, outage = time.monotonic(), 1, (math.inf, math.inf)
    is_down = False
    while (now := time.monotonic()) < begun + duration:
        if is_down != (outage[0] <= now < outage[1]):
            is_down = not is_down
            if is_down:
                metadata.hang()
                tell("the metadata service hangs: it takes requests, and answers none")
            else:
                metadata.recover()
                tell("the metadata service answers again")
        yield is_down
        if len(_tokens(oss)) > known_tokens:
            known_tokens += 1
            tell(f"the token has rotated: requests are signed with token {known_tokens} now")
            if known_tokens == OUTAGE_TOKEN:
                outage = (now + OUTAGE_DELAY, now + OUTAGE_DELAY + OUTAGE_LENGTH)
        time.sleep(PAUSE)
    metadata.recover()


def _tokens(oss: FakeOss) -> set[str]:
    """The different tokens that requests were signed with, by AccessKey id."""
    return {one.access_key_id for one in oss.requests if one.access_key_id is not None}


def conclude(oss: FakeOss, damaged: int, output: Path) -> int:
    """Print the figures; the exit status says whether all went well."""
    signed, refused = len(oss.requests) - len(oss.refused), len(oss.refused)
    print(f"""
{signed} requests signed, with {len(_tokens(oss))} different tokens; every signature verified
{refused} refused, {damaged} pictures damaged
The picture: {output.resolve()}""")
    return 1 if refused or damaged else 0


class _Teller:
    """Prints what happens, with the time since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._told_progress_at = self._begun

    def __call__(self, message: str) -> None:
        print(f"{time.monotonic() - self._begun:5.1f} s  {message}", flush=True)

    def progress(self, downloads: int, tokens: int, is_down: bool) -> None:
        """A line every second."""
        if time.monotonic() < self._told_progress_at + 1.0:
            return
        self._told_progress_at = time.monotonic()
        aside = ", without the metadata service" if is_down else ""
        self(f"  {downloads} downloads, {tokens} tokens so far{aside}")
