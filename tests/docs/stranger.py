"""Follows a tutorial word for word in an empty environment, with the fakes in place of the cloud.

``make stranger`` runs it. The environment is a new virtual environment, a new home directory and
nothing of the caller's environment but the settings of pip. The package is built from this
repository, and ``pip install`` finds it as it would find it on the index.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from support.tutorial import Reader, StepFailedError, steps

from ecs_role_creds.testing import FakeMetadataServer, FakeOpenApi, FakeOss

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "on-an-instance.md"
CONTENT = b"Hello from OSS\n"


class Cloud(NamedTuple):
    """What stands in for the cloud.

    Attributes:
        environment: What an instance has, as environment variables.
        names: What the page calls things, and the fakes' own names for them.
    """

    environment: Mapping[str, str]
    names: Mapping[str, str]


@contextmanager
def fake_cloud() -> Iterator[Cloud]:
    """An account with an instance, and a bucket with the tutorial's object."""
    with ExitStack() as stack:
        metadata = stack.enter_context(FakeMetadataServer(role=None))
        openapi = stack.enter_context(FakeOpenApi())
        openapi.add_instance("i-bp1example", region_id="cn-hangzhou", metadata=metadata)
        oss = stack.enter_context(
            FakeOss(metadata, ["example-bucket"], region="cn-hangzhou", policies=openapi)
        )
        oss.put("example-bucket", "hello.txt", CONTENT)
        endpoints = f"--ram-endpoint {openapi.endpoint} --ecs-endpoint {openapi.endpoint}"
        names = {"https://oss-cn-hangzhou-internal.aliyuncs.com": oss.endpoint}
        for command in ("setup", "create", "grant", "change", "harden"):
            own = f"ecs-role-creds role {command} {endpoints} "
            names[f"ecs-role-creds role {command} "] = own
        yield Cloud({**metadata.environment, **openapi.environment}, names)


def build_wheel(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, timeout=600)


def empty_environment(home: Path, wheels: Path, cloud: Cloud) -> dict[str, str]:
    venv.create(home / "venv", with_pip=True)
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    network = ("http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")
    links = " ".join(filter(None, (str(wheels), pip.get("PIP_FIND_LINKS"))))
    return {
        **{name: os.environ[name] for name in network if name in os.environ},
        **pip,
        "PIP_FIND_LINKS": links,
        "PIP_QUIET": "1",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{home / 'venv' / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        **cloud.environment,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, default=TUTORIAL)
    page = parser.parse_args().page
    with tempfile.TemporaryDirectory() as folder, fake_cloud() as cloud:
        home, wheels = Path(folder, "home"), Path(folder, "wheels")
        home.mkdir()
        build_wheel(wheels)
        reader = Reader(home, empty_environment(home, wheels, cloud), cloud.names)
        try:
            for step in steps(page.read_text(encoding="utf-8")):
                print(f"{page.name}:{step.line}: {step.command or f'save {step.file}'}", flush=True)
                reader.take(step)
        except StepFailedError as error:
            print(f"{page.name}, {error}", file=sys.stderr)
            return 1
        if not any(CONTENT.decode().strip() in printed for printed in reader.printed):
            print(f"{page.name}: no command printed the object's content", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
