"""Gathers the observations. All I/O of doctor is here, in ``probe`` and in ``bucket``.

Nothing secret is kept: only the shape of a response, and whether a file contains an AccessKey pair.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecs_role_creds import Credentials
from ecs_role_creds.cli.doctor import known_places
from ecs_role_creds.cli.doctor.observations import (
    Exchange,
    Fetched,
    Leftover,
    Observations,
    Place,
)
from ecs_role_creds.cli.doctor.probe import Prober, Send, import_http_client, send_for_real
from ecs_role_creds.clock import Clock, WallClock, utc_now
from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.metadata import MetadataClient
from ecs_role_creds.scan.patterns import find_keys
from ecs_role_creds.settings import Settings

NETWORK_SECONDS = 2.5
"""Off the cloud, doctor must end within 3 seconds."""

MAX_FILE = 256 * 1024
ECS_PRODUCT = "Alibaba Cloud ECS"  # what cloud-init looks for, too

Fetch = Callable[[Settings, float], Credentials]
"""Fetches credentials with the given settings, within that many seconds."""


def fetch_for_real(settings: Settings, timeout: float) -> Credentials:
    """Fetch credentials as the library does, but without its cache."""
    client = MetadataClient(settings, clock=time.monotonic)
    return client.fetch(time.monotonic() + timeout)


@dataclass(frozen=True)
class Surroundings:
    """Where doctor looks. Tests pass their own.

    Attributes:
        environ: The environment.
        home: The home directory.
        root: The directory to use as ``/``.
        send: Sends one request.
        fetch: Fetches credentials.
        clock: Reads seconds, for time limits.
        wall_clock: The instance's time of day.
        network_seconds: The time limit for all requests to the metadata service together.
        prepare: Called before that time begins.
    """

    environ: Mapping[str, str]
    home: Path
    root: Path = Path("/")
    send: Send = send_for_real
    fetch: Fetch = fetch_for_real
    clock: Clock = time.monotonic
    wall_clock: WallClock = utc_now
    network_seconds: float = NETWORK_SECONDS
    prepare: Callable[[], object] = import_http_client


def observe(
    around: Surroundings, role_name: str | None = None
) -> tuple[Observations, Credentials | None]:
    """Observe everything except OSS.

    Args:
        around: Where to look.
        role_name: The role that the instance must have (default: from the environment).

    Returns:
        The observations, and the credentials for the request to OSS, if they could be fetched.
    """
    settings: Settings | CredentialsError
    exchanges: tuple[Exchange, ...] = ()
    fetched: Fetched | CredentialsError | None = None
    credentials: Credentials | None = None
    try:
        settings = Settings.resolve(role_name, environ=around.environ)
    except CredentialsError as error:
        settings = error
    else:
        around.prepare()
        until = around.clock() + around.network_seconds
        exchanges = tuple(
            Prober(settings, around.send, around.clock, around.wall_clock, until).probe()
        )
        if any(one.status is not None for one in exchanges):
            try:
                credentials = around.fetch(settings, max(0.0, until - around.clock()))
                fetched = Fetched(
                    credentials.role_name, credentials.expiration, credentials.expires_in()
                )
            except CredentialsError as error:
                fetched = error
    seen = Observations(
        around.environ,
        settings,
        look_at_place(around.root, around.environ),
        exchanges,
        fetched,
        tuple(find_leftovers(around)),
    )
    return seen, credentials


def look_at_place(root: Path, environ: Mapping[str, str]) -> Place:
    """Find out whether this process runs in a container, in WSL or on an ECS instance."""
    cgroup = _read(root / "proc/1/cgroup") or ""
    container = None
    if environ.get("KUBERNETES_SERVICE_HOST"):
        container = "Kubernetes"
    elif (root / "run/.containerenv").exists():
        container = "Podman"
    elif (root / ".dockerenv").exists() or "docker" in cgroup:
        container = "Docker"
    elif environ.get("container") or re.search("containerd|kubepods|lxc", cgroup):
        container = "a container"
    version = _read(root / "proc/version") or ""
    product = _read(root / "sys/class/dmi/id/product_name")
    return Place(
        container,
        "microsoft" in version.lower() or bool(environ.get("WSL_DISTRO_NAME")),
        None if product is None else ECS_PRODUCT in product,
    )


def find_leftovers(around: Surroundings) -> Iterator[Leftover]:
    """Find configuration files of other programs that contain an AccessKey pair."""
    files = list(known_places.KEY_FILES)
    if named := around.environ.get(known_places.CREDENTIALS_FILE):
        read_by = f"alibabacloud-credentials ({known_places.CREDENTIALS_FILE})"
        files.append(known_places.KeyFile(named, read_by))
    for file in files:
        path = _locate(file.path, around)
        try:
            text = _read_text(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            yield Leftover(file.path, file.read_by, is_readable=False)
            continue
        if holds_keys(text):
            yield Leftover(file.path, file.read_by)


def _locate(path: str, around: Surroundings) -> Path:
    if path.startswith("~/"):
        return around.home / path[2:]
    return around.root / path[1:] if path.startswith("/") else Path(path)


def holds_keys(text: str) -> bool:
    """Whether the text of a file contains a part of an AccessKey pair."""
    lines = text.splitlines()
    return any(
        any(find_keys(line, lines[:number], lines[number + 1 :]))
        for number, line in enumerate(lines)
    )


def _read(path: Path) -> str | None:
    try:
        return _read_text(path)
    except OSError:
        return None


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_FILE).decode("utf-8", "replace")
