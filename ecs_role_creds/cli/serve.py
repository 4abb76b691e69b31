"""``ecs-role-creds serve``: serve the credentials to programs in any language."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecs_role_creds.cli.packages import needs
from ecs_role_creds.cli.provider_options import (
    add_provider_options,
    build_provider,
    reporting_errors,
    seconds,
    tell,
)

if TYPE_CHECKING:
    from ecs_role_creds.serve.client_secrets import Secrets
    from ecs_role_creds.serve.listening import Listener

logger = logging.getLogger("ecs_role_creds.serve")

DEFAULT_ADDRESS = "127.0.0.1:8460"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Refresh the credentials and serve them over HTTP on loopback: with the metadata "
        "service's own protocol (security hardening mode only), at a credentials URI, and in the "
        "format of AWS containers. Prints the environment variables that point clients to it. "
        "Needs: pip install 'ecs-role-creds[serve]'\n\n"
        "SIGHUP fetches new credentials now. SIGTERM and Ctrl-C answer the requests that have "
        "arrived, then exit with status 0; a second one exits at once."
    )
    parser.epilog = (
        "Examples:\n"
        "  $ ecs-role-creds serve\n"
        "  $ ecs-role-creds serve --listen 127.0.0.1:0 --env-file creds.env\n"
        "  $ ecs-role-creds serve --listen unix:/run/ecs-role-creds/socket --socket-group app "
        "--socket-mode 660\n"
        "  $ ecs-role-creds serve --source default-chain --assume-role "
        "acs:ram::1234567890123456:role/my-role\n"
    )
    where = parser.add_argument_group("where to listen")
    where.add_argument(
        "--listen",
        default=DEFAULT_ADDRESS,
        metavar="ADDRESS",
        help="HOST:PORT (port 0: any free port), unix:PATH, or systemd for the socket of a "
        ".socket unit (default: %(default)s)",
    )
    where.add_argument(
        "--socket-mode",
        type=_mode,
        default=0o600,
        metavar="MODE",
        help="the permissions of the Unix socket, such as 660 (default: 600)",
    )
    where.add_argument("--socket-group", metavar="GROUP", help="the group of the Unix socket")
    where.add_argument(
        "--allow-remote",
        action="store_true",
        help="allow an address that other hosts can reach; they can then fetch the credentials",
    )
    where.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further host name to accept in the Host header; may be repeated",
    )
    where.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="write the variables to this file (mode 600) instead of printing them; after a "
        "restart, the credentials URI and the AWS token stay the same",
    )
    where.add_argument(
        "--client-timeout",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="time limit for a client to send its request, and at shutdown for answering the "
        "requests that have arrived (default: 10)",
    )
    source = parser.add_argument_group("which credentials")
    source.add_argument(
        "--source",
        choices=("instance", "default-chain"),
        default="instance",
        help="instance: the instance RAM role. default-chain: your own credentials, for "
        "development on a laptop, found by alibabacloud-credentials; needs: pip install "
        "'ecs-role-creds[credentials]' (default: %(default)s)",
    )
    source.add_argument(
        "--assume-role",
        metavar="ARN",
        help="with --source default-chain: assume this role, and serve its credentials",
    )
    add_provider_options(parser)
    parser.set_defaults(run=reporting_errors("serve", run))


def run(arguments: argparse.Namespace) -> int:
    """Open the socket, and serve until stopped; returns the exit status."""
    if arguments.assume_role and arguments.source != "default-chain":
        return _fail("--assume-role needs --source default-chain")
    if arguments.source != "instance" and (arguments.role or arguments.endpoint):
        return _fail("--role and --endpoint need --source instance")
    try:
        from ecs_role_creds.serve import server  # noqa: F401 (imports waitress)
        from ecs_role_creds.serve.listening import ListenError, listen, parse_address
    except ImportError as error:
        return _fail(needs("this command", error, "serve"))
    _log_to_stderr()
    try:
        listener = listen(
            parse_address(arguments.listen),
            allow_remote=arguments.allow_remote,
            mode=arguments.socket_mode,
            group=arguments.socket_group,
        )
    except (ListenError, ValueError) as error:
        return _fail(str(error))
    try:
        _serve(arguments, listener)
    except OSError as error:
        return _fail(str(error))
    except ImportError as error:
        return _fail(needs("--source default-chain", error, "credentials"))
    finally:
        listener.close()
    return 0


def _serve(arguments: argparse.Namespace, listener: Listener) -> None:
    """Serve on an open socket until stopped."""
    from ecs_role_creds.serve.client_secrets import variables
    from ecs_role_creds.serve.server import Limits, Server

    secrets = _secrets(arguments.env_file)
    provider = _provider(arguments, listener)
    limits = Limits(
        request_seconds=arguments.client_timeout, shutdown_seconds=arguments.client_timeout
    )
    application = _application(provider, secrets, listener, arguments)
    server = Server(application, listener.socket, limits)
    # Before the variables are published: a program that waits for them may send a signal next.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    signal.signal(signal.SIGHUP, lambda *_: _refresh(provider))
    _publish(variables(listener, secrets), arguments.env_file)
    if listener.is_remote:
        logger.warning(
            "Listening at %s: every host that can reach it can fetch the credentials",
            listener.endpoint,
        )
    with provider.polling():
        _tell_systemd("READY=1", os.environ)
        server.run()


def _refresh(provider: Any) -> None:
    """Fetch now, on another thread. The log has the result."""
    from ecs_role_creds.errors import CredentialsError

    def refresh() -> None:
        with contextlib.suppress(CredentialsError):
            provider.refresh()

    threading.Thread(target=refresh, name="ecs-role-creds-refresh", daemon=True).start()


def _fail(message: str) -> int:
    tell("serve", message)
    return 2


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise argparse.ArgumentTypeError(f"{text!r} is not octal permissions, such as 600 or 660")
    return mode


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING
    )
    logging.getLogger("ecs_role_creds").setLevel(logging.INFO)


def _secrets(env_file: Path | None) -> Secrets:
    from ecs_role_creds.serve.client_secrets import Secrets, read_secrets

    return (read_secrets(env_file) if env_file else None) or Secrets.draw()


def _provider(arguments: argparse.Namespace, listener: Listener) -> Any:
    from ecs_role_creds.errors import ConfigurationError
    from ecs_role_creds.settings import ENDPOINT

    if arguments.source == "default-chain":
        from ecs_role_creds.serve.default_chain import default_chain_provider

        return default_chain_provider(arguments.assume_role)
    upstream = arguments.endpoint or os.environ.get(ENDPOINT)
    if upstream and upstream.rstrip("/") == listener.endpoint:
        raise ConfigurationError(
            f"{upstream} is the address of this server, so it would send its requests to itself. "
            f"Unset {ENDPOINT}, or pass --endpoint http://100.100.100.200."
        )
    return build_provider(arguments)


def _application(
    provider: Any, secrets: Secrets, listener: Listener, arguments: argparse.Namespace
) -> Any:
    from ecs_role_creds.serve.application import Application
    from ecs_role_creds.serve.exchange import HostRule

    names = frozenset(name.lower() for name in arguments.allowed_host)
    return Application(provider, secrets, HostRule(names, allow_any_address=listener.is_remote))


def _publish(variables: dict[str, str], env_file: Path | None) -> None:
    from ecs_role_creds.serve.client_secrets import write_variables

    if env_file is not None:
        write_variables(env_file, variables)
        logger.info("Wrote the variables to %s", env_file)
        return
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)


def _tell_systemd(message: str, environ: Mapping[str, str]) -> None:
    """Notify systemd, if this process runs as a service of ``Type=notify``."""
    import socket

    address = environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        notify.connect(address)
        notify.sendall(message.encode())
