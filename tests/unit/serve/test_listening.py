"""Where the server may listen."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ecs_role_creds.serve.listening import (
    Listener,
    ListenError,
    SystemdSocket,
    TcpAddress,
    UnixAddress,
    listen,
    parse_address,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8460", TcpAddress("127.0.0.1", 8460)),
        ("127.0.0.1:0", TcpAddress("127.0.0.1", 0)),
        ("localhost:80", TcpAddress("localhost", 80)),
        ("[::1]:80", TcpAddress("::1", 80)),
        ("unix:/run/x/socket", UnixAddress(Path("/run/x/socket"))),
        ("unix:relative", UnixAddress(Path("relative"))),
        ("systemd", SystemdSocket()),
    ],
)
def test_addresses(text: str, address: object) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "8460", ":8460", "127.0.0.1", "127.0.0.1:", "h:-1", "::1:80", "unix:"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="unix:"):
        parse_address(text)


@pytest.mark.parametrize("text", ["127.0.0.1:65536", "[::1]:99999", "h:" + "9" * 5000])
def test_a_port_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match="the port must be 1 to 65535, or 0 for any free port"):
        parse_address(text)


def test_loopback() -> None:
    with closing(listen(TcpAddress("127.0.0.1", 0))) as listener:
        assert listener.endpoint == f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        assert not listener.is_remote


def test_loopback_of_ipv6() -> None:
    try:
        listener = listen(TcpAddress("::1", 0))
    except ListenError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with closing(listener):
        assert listener.endpoint == f"http://[::1]:{listener.socket.getsockname()[1]}"
        assert not listener.is_remote


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_addresses_must_be_allowed(host: str) -> None:
    with pytest.raises(ListenError, match="add --allow-remote"):
        listen(TcpAddress(host, 0))
    with closing(listen(TcpAddress("0.0.0.0", 0), allow_remote=True)) as listener:
        assert listener.is_remote


def test_an_address_in_use() -> None:
    with closing(listen(TcpAddress("127.0.0.1", 0))) as first:
        port = first.socket.getsockname()[1]
        with pytest.raises(
            ListenError,
            match=r": Address already in use\. Stop the program .* choose another address",
        ):
            listen(TcpAddress("127.0.0.1", port))


def test_no_such_host() -> None:
    with pytest.raises(ListenError, match=r"no-such-host\.invalid:80: the host name cannot"):
        listen(TcpAddress("no-such-host.invalid", 80))


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    # pytest's own folders can be too long for a socket's path.
    folder = Path(tempfile.mkdtemp(dir=os.path.realpath("/tmp")))
    yield folder / "socket"
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()


def open_at(path: Path, **options: object) -> Listener:
    return listen(UnixAddress(path), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_a_unix_socket_has_the_permissions_given(path: Path, mode: int) -> None:
    with closing(open_at(path, mode=mode)) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert listener.endpoint is None
    assert not path.exists()


def test_the_umask_is_left_as_it_was(path: Path) -> None:
    before = os.umask(0o022)
    try:
        open_at(path).close()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_group_by_name(path: Path) -> None:
    import grp

    try:
        group = grp.getgrgid(os.getegid())
    except KeyError:
        pytest.skip("this user's group has no name")
    with closing(open_at(path, group=group.gr_name)):
        assert path.stat().st_gid == group.gr_gid


def test_no_such_group(path: Path) -> None:
    with pytest.raises(ListenError, match="no group 'no-such-group'"):
        open_at(path, group="no-such-group")
    assert not path.exists()


def test_what_a_killed_server_left_is_removed(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with closing(open_at(path)) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        listener.socket.accept()[0].close()


def test_a_socket_in_use_is_left_alone(path: Path) -> None:
    with closing(open_at(path)):
        with pytest.raises(ListenError, match="Another process is listening"):
            open_at(path)
        assert path.exists()


def test_a_file_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ListenError, match="is not a socket"):
        open_at(path)
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there(path: Path) -> None:
    with pytest.raises(ListenError, match="Choose a folder"):
        open_at(path.parent / "missing" / "socket")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_PID": str(os.getpid())},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
    ],
)
def test_systemd_passed_nothing(environ: dict[str, str]) -> None:
    with pytest.raises(ListenError, match=r"a \.socket unit"):
        listen(SystemdSocket(), environ=environ)
