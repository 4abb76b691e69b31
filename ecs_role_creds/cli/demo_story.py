"""The demo on loopback, from creating the role to removing it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecs_role_creds.testing import FakeMetadataServer, FakeOpenApi, FakeOss

TOKEN_LIFE = 6.0
# The outage covers the moment at which the third token is due for a refresh.
OUTAGE_TOKEN, OUTAGE_DELAY, OUTAGE_LENGTH = 3, 2.0, 2.5
PAUSE = 0.02
PATIENCE = 60.0
"""Seconds within which the application must find the new role. It usually takes a few."""
BUCKET, OBJECT_NAME = "pictures", "picture.png"
SECOND_ROLE = "picture-reader"


def tell_story(role: str, duration: float, output: Path) -> int:
    """Run the demo; returns 0 if every step had the expected result, else 1.

    Args:
        role: The name of the first role.
        duration: Seconds to download before the role is changed.
        output: The file that the picture is written to.
    """
    from ecs_role_creds.testing import FakeMetadataServer, FakeOpenApi, FakeOss
    from ecs_role_creds.testing.metadata.service import DEFAULT_INSTANCE_ID as INSTANCE

    tell = Teller()
    with ExitStack() as stack:
        metadata = stack.enter_context(FakeMetadataServer(role=None, life=TOKEN_LIFE))
        openapi = stack.enter_context(FakeOpenApi())
        oss = stack.enter_context(FakeOss(metadata, [BUCKET], policies=openapi))
        stack.enter_context(_environment(openapi.environment))
        openapi.add_instance(INSTANCE, metadata=metadata)
        tell("started: an instance without a role; fakes of RAM, ECS, OSS and the metadata service")
        administrator = Administrator(openapi)
        administrator.run(
            f"setup {role} --bucket {BUCKET} --read --write --instance {INSTANCE} --yes"
        )
        application = Application(metadata, oss, tell)
        application.upload()
        tell(f"credentials are valid for {TOKEN_LIFE:g} s here; on an instance, 6 hours")
        for is_down in _course_of_events(metadata, oss, tell, duration):
            application.download(is_down)
        tell("changing the role while the application runs, to one that may only read")
        administrator.run(f"create {SECOND_ROLE}")
        administrator.run(f"grant {SECOND_ROLE} --bucket {BUCKET} --read")
        administrator.run(f"change {SECOND_ROLE} {INSTANCE} --yes")
        is_found = application.download_until_role_is(SECOND_ROLE)
        refusal = application.try_to_upload()
        application.save(output)
        tell("removing everything")
        administrator.run(f"detach {INSTANCE} --yes")
        administrator.run(f"delete {SECOND_ROLE} --yes")
        administrator.run(f"teardown {role} --yes")
        is_clean = metadata.role is None and not openapi.roles and not _own_policies(openapi)
        tell("done: no role or policy is left" if is_clean else "a role or a policy is left")
        is_good = is_found and is_clean and refusal == "AccessDenied" and not administrator.failed
        status = conclude(oss, application.damaged, output, expected_refusals=1)
        return status if is_good else 1


class Administrator:
    """Runs the ``role`` command against the fake RAM and ECS."""

    def __init__(self, openapi: FakeOpenApi) -> None:
        self._endpoints = f"--ram-endpoint {openapi.endpoint} --ecs-endpoint {openapi.endpoint}"
        self.failed = False

    def run(self, command: str) -> None:
        """Print a command and run it."""
        from ecs_role_creds.cli.main import main

        print(f"\n$ ecs-role-creds role {command}", flush=True)
        if main(["role", *command.split(), *self._endpoints.split()]) != 0:
            self.failed = True
        print(flush=True)


class Application:
    """A program on the instance: one provider, two oss2 clients, signing with V4 and with V1."""

    def __init__(self, metadata: FakeMetadataServer, oss: FakeOss, tell: Teller) -> None:
        import oss2

        from ecs_role_creds import EcsRamRoleCredentialsProvider
        from ecs_role_creds.cli.picture import draw_picture

        self.damaged = 0
        self._oss, self._tell, self._picture = oss, tell, draw_picture()
        self._downloads = 0
        self._provider = EcsRamRoleCredentialsProvider(endpoint=metadata.endpoint)
        self._buckets = [
            oss2.Bucket(auth, oss.endpoint, BUCKET, region=oss.region)
            for auth in (oss2.ProviderAuthV4(self._provider), oss2.ProviderAuth(self._provider))
        ]

    def upload(self) -> None:
        """Upload the picture."""
        self._buckets[0].put_object(OBJECT_NAME, self._picture)
        size = f"{len(self._picture):,} bytes"
        self._tell(f"uploaded {OBJECT_NAME} ({size}), signed with the role's credentials")

    def try_to_upload(self) -> str:
        """Upload the picture again; returns the error code of OSS if that is refused."""
        import oss2

        try:
            self._buckets[0].put_object(OBJECT_NAME, self._picture)
        except oss2.exceptions.ServerError as error:
            self._tell(f"uploads are refused now ({error.code}); downloads continue")
            return str(error.code)
        self._tell("an upload was not refused, though the new role may only read")
        return ""

    def download(self, is_down: bool = False) -> None:
        """Download the picture and compare it."""
        import oss2

        self._downloads += 1
        bucket = self._buckets[self._downloads % 2]
        try:
            self.damaged += bucket.get_object(OBJECT_NAME).read() != self._picture
        except oss2.exceptions.ServerError as error:
            self._tell(f"refused: {error.code}")  # and counted by the fake OSS
        self._tell.progress(self._downloads, len(tokens(self._oss)), is_down)

    def download_until_role_is(self, role: str) -> bool:
        """Download until requests are signed as that role; returns whether that happened."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.download()
            if self._provider.status().role_name == role:
                self._tell(f"without a restart, requests are now signed as {role}")
                return True
            time.sleep(PAUSE)
        self._tell(f"the application has not found the role {role}")
        return False

    def save(self, output: Path) -> None:
        """Download the picture to a file."""
        output.parent.mkdir(parents=True, exist_ok=True)
        self._buckets[0].get_object_to_file(OBJECT_NAME, str(output))


class Teller:
    """Prints what happens, with the time since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._told_progress_at = self._begun

    def __call__(self, message: str) -> None:
        """Print one line, with the seconds since the start."""
        print(f"{time.monotonic() - self._begun:5.1f} s  {message}", flush=True)

    def progress(self, downloads: int, tokens: int, is_down: bool) -> None:
        """Print the figures, at most once a second."""
        if time.monotonic() < self._told_progress_at + 1.0:
            return
        self._told_progress_at = time.monotonic()
        aside = "; the metadata service is down" if is_down else ""
        self(f"  {downloads} downloads with {tokens} tokens so far{aside}")


def conclude(oss: FakeOss, damaged: int, output: Path, expected_refusals: int = 0) -> int:
    """Print the figures; returns the exit status."""
    refused = len(oss.refused)
    signed, unexpected = len(oss.requests) - refused, refused - expected_refusals
    aside = f", {expected_refusals} expected" if expected_refusals else ""
    print(f"""
{signed} signed requests with {len(tokens(oss))} different tokens; every signature verified
{refused} refused{aside}, {damaged} pictures damaged
The picture: {output.resolve()}""")
    return 1 if unexpected or damaged else 0


def tokens(oss: FakeOss) -> set[str]:
    """Return the AccessKey ids that requests were signed with."""
    return {one.access_key_id for one in oss.requests if one.access_key_id is not None}


def _course_of_events(
    metadata: FakeMetadataServer, oss: FakeOss, tell: Callable[[str], None], duration: float
) -> Iterator[bool]:
    """Yield whether the metadata service is down, once for each download to make."""
    begun, known_tokens, outage = time.monotonic(), 1, (math.inf, math.inf)
    is_down = False
    while (now := time.monotonic()) < begun + duration:
        if is_down != (outage[0] <= now < outage[1]):
            is_down = not is_down
            if is_down:
                metadata.hang()
                tell("the metadata service hangs: it accepts requests and answers none")
            else:
                metadata.recover()
                tell("the metadata service answers again")
        yield is_down
        if len(tokens(oss)) > known_tokens:
            known_tokens += 1
            tell(f"rotated: requests are now signed with token {known_tokens}")
            if known_tokens == OUTAGE_TOKEN:
                outage = (now + OUTAGE_DELAY, now + OUTAGE_DELAY + OUTAGE_LENGTH)
        time.sleep(PAUSE)
    metadata.recover()


def _own_policies(openapi: FakeOpenApi) -> list[str]:
    return [name for type, name in openapi.policies if type == "Custom"]


@contextmanager
def _environment(variables: dict[str, Any]) -> Iterator[None]:
    """Set environment variables inside the block: the administrator's credentials for the SDKs."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
