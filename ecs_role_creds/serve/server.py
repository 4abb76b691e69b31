"""Runs an application on waitress, with one request per connection and a time limit.

Waitress reads requests on one thread and passes complete ones to worker threads, so a slow client
does not block a worker. Two things are added here: a time limit for the whole request (the limit of
waitress restarts with every byte), and a shutdown that answers the requests that have arrived.

Every response closes its connection: a client that reuses a connection can lose a request when the
server shuts down, and a new connection on loopback is cheap.
"""

# The stubs for waitress that pyright brings are wrong about the attributes used here.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import logging
import socket
import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import ErrorTask, WSGITask

from ecs_role_creds.serve.listening import BACKLOG

CLEANUP_INTERVAL = 1


class Limits(NamedTuple):
    """Limits of the server.

    Attributes:
        request_seconds: The time to send a request and read the response.
        header_bytes: The size of the request line and headers.
        body_bytes: The size of a body. More is refused before the application sees it.
        connections: The number of connections at once.
        threads: The number of threads that answer requests.
        shutdown_seconds: The time at shutdown for requests in progress.
    """

    request_seconds: float = 10.0
    header_bytes: int = 8192
    body_bytes: int = 1024
    connections: int = 900
    threads: int = 8
    shutdown_seconds: float = 10.0


DEFAULT_LIMITS = Limits()


class Server:
    """Serves until :meth:`stop` is called, by a signal handler or another thread.

    Args:
        application: A WSGI application.
        listening: The listening socket. It is closed at the end.
        limits: The limits.
    """

    def __init__(
        self,
        application: Callable[..., Any],
        listening: socket.socket,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        # Below WARNING, waitress logs paths, which may be secret. It also warns whenever a request
        # has to wait for a worker.
        logging.getLogger("waitress").setLevel(logging.WARNING)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._limits = limits
        self._map: dict[int, Any] = {}
        self._stops = 0
        adjustments = Adjustments(
            sockets=[listening],
            threads=limits.threads,
            ident=None,
            connection_limit=limits.connections,
            cleanup_interval=CLEANUP_INTERVAL,
            max_request_header_size=limits.header_bytes,
            max_request_body_size=limits.body_bytes,
            clear_untrusted_proxy_headers=False,  # the application refuses them
            asyncore_use_poll=True,
        )
        self._server = _OneRequestServer(
            application,
            self._map,
            _sock=listening,
            adj=adjustments,
            bind_socket=False,
            sockinfo=(listening.family, listening.type, listening.proto, None),
        )
        self._server.request_seconds = limits.request_seconds
        # Not at the end of run(): stop() may still write to the pipe, whose descriptor could belong
        # to another file by then.
        weakref.finalize(self, self._server.trigger.close)

    def run(self) -> None:
        """Serve until stopped, then answer the requests that have arrived, and return."""
        while not self._stops:
            self._turn(CLEANUP_INTERVAL)
        self._drain()
        self._server.task_dispatcher.shutdown(timeout=1)

    def stop(self) -> None:
        """Stop accepting connections. A second call also closes the open ones."""
        self._stops += 1
        self._server.pull_trigger()  # writes to a pipe, takes no lock

    def _turn(self, timeout: float) -> None:
        wasyncore.loop(timeout=timeout, use_poll=True, map=self._map, count=1)

    def _drain(self) -> None:
        self._server.accept_queued()
        wasyncore.dispatcher.close(self._server)
        give_up_at = time.monotonic() + self._limits.shutdown_seconds
        while self._server.active_channels and self._stops == 1 and time.monotonic() < give_up_at:
            self._turn(0.1)
            self._server.maintenance(time.time())
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()


class _OneRequestTask(WSGITask):
    def start(self) -> None:
        super().start()
        self.request.headers.pop("CONNECTION", None)
        self.set_close_on_finish()


class _OneRequestChannel(HTTPChannel):
    task_class = _OneRequestTask
    error_task_class = ErrorTask  # closes its connection anyway


class _OneRequestServer(BaseWSGIServer):
    channel_class = _OneRequestChannel
    request_seconds = 10.0

    def getsockname(self) -> tuple[str, str]:
        return "localhost", "0"  # for WSGI's SERVER_PORT only, which nothing here reads

    def fix_addr(self, addr: Any) -> Any:
        return addr or ("unix", 0)

    def maintenance(self, now: float) -> None:
        """Close connections over the time limit, except while a request is being answered."""
        for channel in list(self.active_channels.values()):
            if not channel.requests and channel.creation_time < now - self.request_seconds:
                channel.will_close = True

    def accept_queued(self) -> None:
        """Accept all queued connections, so that closing the socket does not reset them."""
        for _ in range(BACKLOG):
            known = len(self.active_channels)
            self.handle_accept()
            if len(self.active_channels) == known:
                return
