"""A small HTTP server on loopback. Stopping it closes its sockets and ends its threads."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import weakref
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, TypeVar

from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.wire import BadRequestError, joined, read_body

_GRACE = 0.1
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time; closing then sends a RST

_Self = TypeVar("_Self", bound="LoopbackServer")


class LoopbackServer:
    """Serves :meth:`handle` over HTTP/1.1, with a thread for each connection.

    It is a context manager: it listens inside the block. Several may run at once. A forked child
    closes its copies of the sockets.

    Args:
        host: The address to listen on: ``127.0.0.1``, ``::1`` or a name.
        port: The port; 0: any free port.
    """

    max_body = 16 * 2**20
    """The maximum size of a request body, in bytes."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._address = (host, port)
        self._listener: socket.socket | None = None
        self._url = ""  # for requests, which are still handled while the server stops
        self._pid = 0
        self._bookkeeping = threading.RLock()
        self._threads: set[threading.Thread] = set()
        self._connections: dict[socket.socket, threading.Lock] = {}  # held while busy
        self._calm = threading.Event()

    def handle(self, request: Request) -> Response:
        """Respond to a request. Subclasses implement it."""
        raise NotImplementedError

    def refuse(self, request: Request, error: BadRequestError) -> Response:
        """Respond to a request that cannot be read. Its ``body`` is empty."""
        text = f"{error.code}: {error}\n".encode()
        return Response(error.status, text, {"Content-Type": "text/plain"})

    def start(self: _Self) -> _Self:
        """Start to listen. A stopped server can be started again.

        >>> from ecs_role_creds.testing import FakeMetadataServer
        >>> server = FakeMetadataServer().start()
        >>> server.stop()

        Returns:
            The server.

        Raises:
            RuntimeError: The server is already running.
            OSError: It cannot listen on the address and port.
        """
        if self._listener is not None:
            raise RuntimeError("the server is running already")
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        try:
            self._listener = socket.create_server(self._address, family=family, backlog=1024)
        except (OSError, OverflowError) as error:
            host, port = self._address
            reason = str(getattr(error, "strerror", None) or error).rstrip(".")
            raise OSError(
                f"cannot listen on port {port} of {host}: {reason}. Choose another port, or 0 for "
                "any free one"
            ) from error
        bound, port = self._listener.getsockname()[:2]
        self._url = f"http://[{bound}]:{port}" if ":" in bound else f"http://{bound}:{port}"
        self._pid = os.getpid()
        self._calm = threading.Event()
        _running.add(self)
        self._start_thread(self._accept, self._listener)
        return self

    def stop(self) -> None:
        """Stop listening and close all connections. Does nothing if the server is not running."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        _running.discard(self)
        if self._pid != os.getpid():
            listener.close()  # a forked child's copy; the parent continues
            return
        self._calm.set()
        _shut(listener)
        listener.close()
        # Repeatedly: a connection may just have been accepted.
        while threads := self._living_threads():
            with self._bookkeeping:
                connections = list(self._connections)
            for connection in connections:
                _shut(connection)
            for thread in threads:
                thread.join()

    def __enter__(self: _Self) -> _Self:
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
        """``http://HOST:PORT``; an IPv6 address is in brackets.

        >>> ecs_metadata.endpoint
        'http://127.0.0.1:...'

        Raises:
            RuntimeError: The server is not running.
        """
        if self._listener is None:
            raise RuntimeError("the server is not running; use it in a with block, or start() it")
        return self._url

    def release(self) -> None:
        """Send all responses that are delayed, hang or drip at once. The faults stay in effect."""
        with self._bookkeeping:
            calm, self._calm = self._calm, threading.Event()
            if self._listener is None:
                self._calm.set()
        calm.set()

    def close_idle_connections(self) -> None:
        """Close the connections that clients keep open between requests.

        >>> from ecs_role_creds import default_provider
        >>> credentials = default_provider().get_credentials()
        >>> ecs_metadata.close_idle_connections()
        >>> default_provider().refresh() == credentials
        True
        """
        with self._bookkeeping:
            connections = list(self._connections.items())
        for connection, busy in connections:
            # A client may have its response slightly before this thread has finished sending it.
            if busy.acquire(timeout=_GRACE):
                _shut(connection)
                busy.release()

    def _start_thread(self, work: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = threading.Thread(
            target=work, args=(argument,), name="loopback-server", daemon=True
        )
        with self._bookkeeping:
            thread.start()  # inside the lock: stop() cannot join a thread that has not started
            self._threads = {*self._living_threads(), thread}

    def _living_threads(self) -> list[threading.Thread]:
        with self._bookkeeping:
            return [thread for thread in self._threads if thread.is_alive()]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._bookkeeping:
                self._connections[connection] = threading.Lock()
                if self._listener is None:  # stopped meanwhile
                    _shut(connection)
            self._start_thread(self._converse, connection)

    def _converse(self, connection: socket.socket) -> None:
        try:
            _Handler(connection, connection.getpeername(), self)  # type: ignore[arg-type]
        except OSError:
            pass  # the client went away, or a fault closed the connection
        finally:
            with self._bookkeeping:
                del self._connections[connection]
            connection.close()

    def _busy(self, connection: socket.socket) -> threading.Lock:
        with self._bookkeeping:
            return self._connections[connection]

    def _give(
        self,
        connection: socket.socket,
        response: Response,
        message: bytes,
        calm: threading.Event,
    ) -> bool:
        """Send a response with its faults. Returns whether the connection can still be used.

        ``calm`` ends what delays the response. It is the one from before the request was recorded:
        a test that sees the request there and calls :meth:`release` ends its delay too.
        """
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
    """Reads requests from one connection until it closes."""

    protocol_version = "HTTP/1.1"
    server: Any  # the LoopbackServer

    def handle(self) -> None:
        self._busy: threading.Lock = self.server._busy(self.connection)
        super().handle()

    def handle_one_request(self) -> None:
        self._is_at_work = False
        try:
            super().handle_one_request()
        finally:
            if self._is_at_work:
                self._busy.release()

    def parse_request(self) -> bool:
        self._is_at_work = self._busy.acquire()
        return super().parse_request()

    def _exchange(self) -> None:
        headers: dict[str, str] = {}
        self._calm: threading.Event = self.server._calm
        try:
            headers = joined(self.headers.items())
            body, trailers = read_body(self.rfile, headers, self.server.max_body)
        except BadRequestError as error:
            response = self.server.refuse(Request(self.command, self.path, headers), error)
            self._send(response)
            self._close_slowly()
            return
        try:
            response = self.server.handle(Request(self.command, self.path, headers, body, trailers))
        except Exception as error:
            # A bug in the fake: the client gets a response, and the traceback is printed.
            text = f"The fake server failed: {type(error).__name__}: {error}\n".encode()
            self._send(Response(500, text, {"Content-Type": "text/plain", "Connection": "close"}))
            raise
        self._send(response)

    def _send(self, response: Response) -> None:
        message = self._message(response)
        if not self.server._give(self.connection, response, message, self._calm):
            self.close_connection = True

    def _close_slowly(self) -> None:
        """Close after the client has the response: unread input would reset the connection."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_GRACE)
            for _ in range(64):
                if not self.connection.recv(1 << 16):
                    break

    def _message(self, response: Response) -> bytes:
        reason = self.responses[response.status][0] if response.status in self.responses else ""
        headers = dict(response.headers)
        has_length = any(name.lower() == "content-length" for name in headers)
        if response.status not in (204, 304) and not has_length:
            headers["Content-Length"] = str(len(response.body))
        head = f"HTTP/1.1 {response.status} {reason}\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in headers.items()
        )
        body = b"" if self.command == "HEAD" else response.body
        return head.encode() + b"\r\n" + body

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # every HTTP method
            return self._exchange
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _shut(connection: socket.socket) -> None:
    """Wake the thread that reads from a socket or accepts on it."""
    with contextlib.suppress(OSError):  # closed already
        connection.shutdown(socket.SHUT_RDWR)


# A forked child must not keep the port open after its parent has closed it.
_running: weakref.WeakSet[LoopbackServer] = weakref.WeakSet()


def _close_in_child() -> None:
    for server in list(_running):
        server.stop()
        for connection in server._connections:
            connection.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
