"""The fake metadata service on a real socket."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Literal

from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.service import FakeMetadataService, Mode

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time; closing then sends a RST


class FakeMetadataServer(FakeMetadataService):
    """A metadata service on loopback, for tests in any client or language.

    A context manager: ready inside the block, and gone without a trace after it. Any number may
    run at once; safe to use from any thread. A forked child has no part in it.

    Args:
        role: The instance's RAM role; ``None``: none attached.
        life: Seconds that credentials live; rounded up so that they end at a whole second.
        mode: ``"both"``, ``"hardening-only"`` or ``"normal-only"``.
        port: Where to listen; 0: wherever there is room.
        host: The address to listen at.
        rotation_share: For lives up to an hour: the share of a life after which it is rotated.
        no_hardening_status: What a PUT for a session token is answered in ``"normal-only"``.
        clock: The service's time in seconds since the epoch; a
            :class:`~ecs_role_creds.testing.VirtualClock` for one that the test moves.
        seed: Makes tokens the same in every run.

    Raises:
        ValueError: An argument cannot be; the message says what can.
    """

    def __init__(
        self,
        role: str | None = "app-role",
        *,
        life: float = 21600.0,
        mode: Mode = "both",
        port: int = 0,
        host: str = "127.0.0.1",
        rotation_share: float = 0.5,
        no_hardening_status: Literal[403, 404, 405] = 404,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
    ) -> None:
        super().__init__(
            role,
            life=life,
            mode=mode,
            rotation_share=rotation_share,
            no_hardening_status=no_hardening_status,
            clock=clock,
            seed=seed,
        )
        self._address = (host, port)
        self._listener: socket.socket | None = None
        self._pid = 0
        self._threads: set[threading.Thread] = set()
        self._connections: dict[socket.socket, bool] = {}  # and whether they are idle
        self._calm = threading.Event()

    def start(self) -> FakeMetadataServer:
        """Begin to listen. A server that was stopped may be started again.

        Raises:
            RuntimeError: It listens already.
            OSError: The address cannot be had.
        """
        if self._listener is not None:
            raise RuntimeError("the fake metadata server is running already")
        self._listener = socket.create_server(self._address, backlog=1024)
        self._pid = os.getpid()
        self._calm = threading.Event()
        _running.add(self)
        self._start_thread(self._accept, self._listener)
        return self

    def stop(self) -> None:
        """Close every connection and stop listening; without effect if it does not run."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        _running.discard(self)
        if self._pid != os.getpid():
            listener.close()  # a forked child's copy; the parent's goes on
            return
        self._calm.set()
        _shut(listener)
        listener.close()
        with self._lock:
            connections, threads = list(self._connections), list(self._threads)
        for connection in connections:
            _shut(connection)
        for thread in threads:
            thread.join()

    def __enter__(self) -> FakeMetadataServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """``http://HOST:PORT``.

        Raises:
            RuntimeError: It does not listen.
        """
        if self._listener is None:
            raise RuntimeError(
                "the fake metadata server is not running; use it in a with block, or start() it"
            )
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point clients here.

        Raises:
            RuntimeError: It does not listen.
        """
        return {"ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": self.endpoint}

    def recover(self) -> None:
        super().recover()
        with self._lock:
            calm, self._calm = self._calm, threading.Event()
            if self._listener is None:
                self._calm.set()
        calm.set()

    def close_idle_connections(self) -> None:
        """Close the connections that clients keep open for later."""
        with self._lock:
            idle = [connection for connection, is_idle in self._connections.items() if is_idle]
        for connection in idle:
            _shut(connection)

    def _start_thread(self, work: Callable[[socket.socket], None], argument: socket.socket) -> None:
        def run() -> None:
            try:
                work(argument)
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name="fake-metadata-server", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections[connection] = True
                if self._listener is None:  # stopped meanwhile
                    _shut(connection)
            self._start_thread(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        try:
            _Handler(connection, connection.getpeername(), self)  # type: ignore[arg-type]
        except OSError:
            pass  # the client went away, or a fault closed the connection
        finally:
            with self._lock:
                del self._connections[connection]
            connection.close()

    def _set_idle(self, connection: socket.socket, is_idle: bool) -> None:
        with self._lock:
            self._connections[connection] = is_idle

    def _give(self, connection: socket.socket, response: Response, message: bytes) -> bool:
        """Send an answer, in the way it is to be given; whether the connection still stands."""
        calm = self._calm
        if response.delay:
            calm.wait(response.delay)
        if response.conduct == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            return False
        if response.conduct == "hang":
            calm.wait()
        sent = 0
        if response.conduct == "drip":
            while sent < len(message) and not calm.is_set():
                connection.sendall(message[sent : sent + 1])
                sent += 1
                calm.wait(response.interval)
        connection.sendall(message[sent:])
        return True


class _Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection until it closes."""

    protocol_version = "HTTP/1.1"
    server: Any  # the FakeMetadataServer

    def handle_one_request(self) -> None:
        self.server._set_idle(self.connection, True)
        super().handle_one_request()

    def parse_request(self) -> bool:
        self.server._set_idle(self.connection, False)
        return super().parse_request()

    def _exchange(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.handle(Request(self.command, self.path, headers))
        if not self.server._give(self.connection, response, self._message(response)):
            self.close_connection = True

    def _message(self, response: Response) -> bytes:
        reason = self.responses[response.status][0] if response.status in self.responses else ""
        headers = {"Content-Length": str(len(response.body)), **response.headers}
        head = f"HTTP/1.1 {response.status} {reason}\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in headers.items()
        )
        body = b"" if self.command == "HEAD" else response.body
        return head.encode("latin-1") + b"\r\n" + body

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever the method
            return self._exchange
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _shut(connection: socket.socket) -> None:
    """Wake whoever reads from or accepts on a socket."""
    with contextlib.suppress(OSError):  # closed already
        connection.shutdown(socket.SHUT_RDWR)


# A child must not keep the port open after its parent has let go of it.
_running: weakref.WeakSet[FakeMetadataServer] = weakref.WeakSet()


def _close_in_child() -> None:
    for server in list(_running):
        server.stop()
        for connection in server._connections:
            connection.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
