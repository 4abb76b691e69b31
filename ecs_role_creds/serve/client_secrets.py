"""The secrets that clients authenticate with, and the environment variables for them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ecs_role_creds.serve.listening import Listener

ENDPOINT = "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT"
CREDENTIALS_URI = "ALIBABA_CLOUD_CREDENTIALS_URI"
AWS_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
AWS_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 (a variable's name)

SOCKET = "ECS_ROLE_CREDS_SOCKET"
SOCKET_URI = "ECS_ROLE_CREDS_URI"

CREDENTIALS_PATH = "/credentials/"
AWS_PATH = "/aws-container"

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # token_urlsafe(32)
_LINE = re.compile(r"^([A-Z_]+)=(\S+)$", re.MULTILINE)


class Secrets(NamedTuple):
    """The secrets that clients authenticate with.

    Attributes:
        credentials_path: The last part of the credentials URI.
        aws_token: The value of ``AWS_CONTAINER_AUTHORIZATION_TOKEN``.
    """

    credentials_path: str
    aws_token: str

    def __repr__(self) -> str:
        return "<Secrets, not shown>"

    @classmethod
    def draw(cls, token: Callable[[int], str] = secrets.token_urlsafe) -> Secrets:
        """Return new secrets of 256 random bits each."""
        return cls(token(32), token(32))


def variables(listener: Listener, drawn: Secrets) -> dict[str, str]:
    """Return the environment variables for clients.

    No SDK reads the path of a Unix socket from a variable. For a Unix socket, the variables hold
    the path and the URI for clients that accept both, as in ``curl --unix-socket
    "$ECS_ROLE_CREDS_SOCKET" "$ECS_ROLE_CREDS_URI"``.
    """
    endpoint = listener.endpoint or "http://localhost"
    uri = f"{endpoint}{CREDENTIALS_PATH}{drawn.credentials_path}"
    if listener.endpoint is None:
        return {SOCKET: str(listener.path), SOCKET_URI: uri, AWS_TOKEN: drawn.aws_token}
    return {
        ENDPOINT: endpoint,
        CREDENTIALS_URI: uri,
        AWS_URI: f"{endpoint}{AWS_PATH}",
        AWS_TOKEN: drawn.aws_token,
    }


def read_secrets(path: Path) -> Secrets | None:
    """Read the secrets from a file of :func:`write_variables`; ``None`` if there are none.

    Reused after a restart, they keep the variables of running clients valid.

    Raises:
        PermissionError: Another user owns the file or can read or change it.
        OSError: The file cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _file_error("read", path, error) from error
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a file. Remove it, or name another file.")
    with open(descriptor, encoding="utf-8", errors="replace") as file:
        if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
            raise PermissionError(
                f"{path} belongs to another user, or others can read it. Delete it, or give "
                "it to this user with mode 0600."
            )
        found: dict[str, str] = dict(_LINE.findall(file.read()))
    uri = found.get(CREDENTIALS_URI) or found.get(SOCKET_URI, "")
    uri_path = uri.rpartition(CREDENTIALS_PATH)[2]
    aws_token = found.get(AWS_TOKEN, "")
    if _SECRET.fullmatch(uri_path) and _SECRET.fullmatch(aws_token):
        return Secrets(uri_path, aws_token)
    return None


def write_variables(path: Path, values: Mapping[str, str]) -> None:
    """Write variables as ``NAME=VALUE`` lines; replaces the file atomically, with mode 0600.

    systemd's ``EnvironmentFile=``, ``docker run --env-file`` and shells (``set -a; . FILE``) read
    this form.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.writelines(f"{name}={value}\n" for name, value in values.items())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise _file_error("write", path, error) from error


def _file_error(what: str, path: Path, error: OSError) -> OSError:
    """Return an error with the path that the user gave, and what to do."""
    if isinstance(error, FileNotFoundError):
        reason = f"there is no folder {path.parent}. Create it, or name a file in another folder."
    elif error.errno == errno.ELOOP:
        reason = "it is a symbolic link. Name the file itself."
    else:
        reason = f"{error.strerror}. Name a file in a folder that this user can write to."
    return OSError(f"Cannot {what} {path}: {reason}")
