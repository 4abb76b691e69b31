"""Opens the socket: at an address, at a Unix socket's path, or passed by systemd."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

BACKLOG = 1024
MAX_PORT = 65535
SYSTEMD_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


class ListenError(Exception):
    """The server cannot listen at the address; the message says what to do."""


class TcpAddress(NamedTuple):
    """A host and a port; port 0: any free port."""

    host: str
    port: int


class UnixAddress(NamedTuple):
    """The path of a Unix socket."""

    path: Path


class SystemdSocket(NamedTuple):
    """The socket that systemd opened and passes on."""


Address = TcpAddress | UnixAddress | SystemdSocket


class Listener(NamedTuple):
    """A listening socket.

    Attributes:
        socket: The socket.
        endpoint: ``http://HOST:PORT``; ``None`` for a Unix socket.
        path: The path of a Unix socket; ``None`` for an address.
        is_remote: Whether other hosts can reach it.
        owns_path: Whether :meth:`close` removes the file of a Unix socket.
    """

    socket: socket.socket
    endpoint: str | None
    path: Path | None = None
    is_remote: bool = False
    owns_path: bool = False

    def close(self) -> None:
        """Stop listening, and remove the file of a Unix socket."""
        self.socket.close()
        if self.owns_path and self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()


def parse_address(text: str) -> Address:
    """Parse ``HOST:PORT``, ``unix:PATH`` or ``systemd``.

    Raises:
        ValueError: It is none of them, or the port is out of range.
    """
    if text == "systemd":
        return SystemdSocket()
    kind, colon, path = text.partition(":")
    if kind == "unix" and colon:
        if not path:
            raise ValueError("unix: needs a path, as in unix:/run/ecs-role-creds/socket")
        return UnixAddress(Path(path))
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_number = port.isascii() and port.isdigit()
    if not bare or not is_number or (":" in bare and bare == host):
        raise ValueError(
            f"{text!r:.200} is not an address. Pass HOST:PORT, [IPV6]:PORT, unix:PATH or systemd."
        )
    if len(port) > 9 or int(port) > MAX_PORT:
        raise ValueError(
            f"{text!r:.200}: the port must be 1 to {MAX_PORT}, or 0 for any free port."
        )
    return TcpAddress(bare, int(port))


def listen(
    address: Address,
    *,
    allow_remote: bool = False,
    mode: int = 0o600,
    group: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Listener:
    """Open the socket.

    Args:
        address: Where to listen.
        allow_remote: Whether to allow an address that other hosts can reach.
        mode: The permissions of a Unix socket.
        group: The group of a Unix socket (default: the group of this process).
        environ: The environment with ``LISTEN_FDS`` and ``LISTEN_PID`` (default: of this process).

    Raises:
        ListenError: It cannot be opened.
    """
    if isinstance(address, UnixAddress):
        return _listen_at_path(address.path, mode, group)
    if isinstance(address, SystemdSocket):
        opened = _take_from_systemd(os.environ if environ is None else environ)
    else:
        opened = _listen_at_address(address, allow_remote)
    if opened.family == getattr(socket, "AF_UNIX", None):
        return Listener(opened, None, Path(os.fsdecode(opened.getsockname())))
    host, port = opened.getsockname()[:2]
    is_remote = not ipaddress.ip_address(host).is_loopback
    if is_remote and not allow_remote:
        opened.close()
        raise ListenError(_remote(host))
    shown = f"[{host}]" if ":" in host else host
    return Listener(opened, f"http://{shown}:{port}", is_remote=is_remote)


def _listen_at_address(address: TcpAddress, allow_remote: bool) -> socket.socket:
    try:
        family, _, _, _, resolved = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )[0]
        # Checked before the socket opens, so that other hosts can never connect.
        if not allow_remote and not ipaddress.ip_address(str(resolved[0])).is_loopback:
            raise ListenError(_remote(address.host))
        return socket.create_server(resolved, family=family, backlog=BACKLOG)
    except OSError as error:
        if isinstance(error, socket.gaierror):
            raise ListenError(
                f"Cannot listen at {address.host}:{address.port}: the host name cannot be resolved "
                f"({error.strerror}). Pass an address of this machine, such as 127.0.0.1."
            ) from error
        # Without what create_server() adds, which is the address once more.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(
            f"Cannot listen at {address.host}:{address.port}: {reason}. Stop the program that "
            "listens there, or choose another address with --listen (port 0: any free port)."
        ) from error


def _listen_at_path(path: Path, mode: int, group: str | None) -> Listener:
    _remove_stale_socket(path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o777)  # nobody can connect until mode and group are set
        try:
            opened.bind(str(path))
        finally:
            os.umask(before)
        if group is not None:
            os.chown(path, -1, _group_id(group))
        path.chmod(mode)
        opened.listen(BACKLOG)
    except (OSError, ListenError) as error:
        opened.close()
        if isinstance(error, ListenError):
            path.unlink()
            raise
        raise ListenError(
            f"Cannot listen at {path} ({error}). Choose a folder that this user can write to, and "
            "a path of fewer than 100 characters."
        ) from error
    return Listener(opened, None, path, owns_path=True)


def _remove_stale_socket(path: Path) -> None:
    """Remove the socket file of a killed server, and nothing else."""
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenError(f"{path} exists and is not a socket. Remove it, or choose another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise ListenError(
                f"{path} exists and cannot be checked ({error}). Remove it, or choose another path."
            ) from error
    raise ListenError(f"Another process is listening at {path}. Stop it, or choose another path.")


def _group_id(group: str) -> int:
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ListenError(
            f"There is no group {group!r}. Create it, or name another group."
        ) from None


def _take_from_systemd(environ: Mapping[str, str]) -> socket.socket:
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or count != "1":
        raise ListenError(
            "systemd passed no socket, or more than one (LISTEN_PID, LISTEN_FDS). Use --listen "
            "systemd only in a service that has a .socket unit with one ListenStream=."
        )
    passed = socket.socket(fileno=SYSTEMD_FIRST_DESCRIPTOR)
    if passed.type != socket.SOCK_STREAM:
        passed.close()
        raise ListenError("systemd passed a socket of the wrong type. Use ListenStream=.")
    return passed


def _remote(host: str) -> str:
    return (
        f"{host} is not a loopback address: every host that can reach it could fetch the "
        "credentials over plain HTTP. Listen at 127.0.0.1 or at a Unix socket. If other hosts "
        "must have access, add --allow-remote."
    )
