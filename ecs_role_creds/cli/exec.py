"""``ecs-role-creds exec``: run a command that finds the credentials in its environment."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ecs_role_creds.cli.provider_options import add_provider_options, build_provider, life, tell

if TYPE_CHECKING:
    from ecs_role_creds import EcsRamRoleCredentialsProvider

FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
"""Exit statuses where the command did not run, as env(1) and timeout(1) have them."""

PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

# Python ignores these two, and a command would inherit that.
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Run a command with the credentials in its environment, in the variables of Alibaba "
        "Cloud's SDKs and tools. They are not renewed there. With --keep-fresh, the command gets "
        "an endpoint on loopback instead, which always has valid credentials and ends with the "
        "command. Without a command, start a shell ($SHELL)."
    )
    parser.epilog = (
        "Exit status: the command's; 128 and the signal's number where a signal ended it; 127 "
        "where there is no such command, 126 where it cannot be executed, 125 without "
        "credentials.\n\n"
        "Examples:\n"
        "  $ ecs-role-creds exec -- ossutil ls\n"
        "  $ ecs-role-creds exec --keep-fresh -- my-service --port 8080\n"
        "  $ ecs-role-creds exec\n"
    )
    parser.add_argument(
        "--keep-fresh",
        action="store_true",
        help="serve the credentials on loopback while the command runs (needs "
        "'ecs-role-creds[serve]')",
    )
    parser.add_argument(
        "--aws", action="store_true", help="set the variables of AWS SDKs, too, for S3 tools"
    )
    parser.add_argument("--quiet", action="store_true", help="do not tell how long they live")
    add_provider_options(parser)
    parser.add_argument(
        "argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="with its arguments"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit status, or does not return."""
    from ecs_role_creds import CredentialsError

    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    argv = argv or [os.environ.get("SHELL") or "/bin/sh"]
    try:
        provider = build_provider(arguments)
        left = life(provider.get_credentials().expires_in())
        if arguments.keep_fresh:
            return _run_kept_fresh(provider, argv, arguments)
        if not arguments.quiet:
            tell(
                "exec",
                f"the credentials expire in {left} and are not renewed; a command that runs for "
                "longer needs --keep-fresh",
            )
        return replace_process(argv, static_environment(os.environ, provider, aws=arguments.aws))
    except CredentialsError as error:
        tell("exec", str(error))
    except ImportError as error:
        tell("exec", f"{error}; --keep-fresh needs: pip install 'ecs-role-creds[serve]'")
    return FAILED


# With the credentials themselves.


def static_environment(
    environ: Mapping[str, str], provider: EcsRamRoleCredentialsProvider, *, aws: bool
) -> dict[str, str]:
    """The environment with the credentials of this moment."""
    from ecs_role_creds.adapters.generic import aws_environment, credentials_environment

    credentials = provider.get_credentials()
    more = credentials_environment(credentials)
    return {**environ, **more, **(aws_environment(credentials) if aws else {})}


def replace_process(argv: list[str], environ: Mapping[str, str]) -> int:
    """Become the command: signals and exit status are then its own, and nothing stays behind.

    Returns:
        The exit status, where there is no such command; otherwise it does not return.
    """
    for number in IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, environ)  # noqa: S606  # nosec B606
    except OSError as error:
        return _cannot_run(argv[0], error)


def _cannot_run(name: str, error: OSError) -> int:
    tell("exec", f"cannot run {name!r}: {error.strerror or error}")
    is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
    return NOT_FOUND if is_missing else NOT_EXECUTABLE


# With an endpoint.


def _run_kept_fresh(
    provider: EcsRamRoleCredentialsProvider, argv: list[str], arguments: argparse.Namespace
) -> int:
    # Threads inherit what is blocked, so the signals are taken in one place. Those of the fetch,
    # which do not have it blocked, are about to end.
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(1.0)
    waited_for = {*PASSED_ON, signal.SIGCHLD}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, the exit status would be lost
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    try:
        with provider.polling(), serving(provider) as variables:
            if not arguments.quiet:
                tell(
                    "exec",
                    "credentials are served on loopback, and renewed, until the command ends",
                )
            environ = endpoint_environment(os.environ, variables, aws=arguments.aws)
            try:
                child = os.posix_spawnp(
                    argv[0], argv, environ, setsigmask=before, setsigdef=IGNORED_BY_PYTHON
                )
            except OSError as error:
                return _cannot_run(argv[0], error)
            return supervise(child, waited_for)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def endpoint_environment(
    environ: Mapping[str, str], variables: Mapping[str, str], *, aws: bool
) -> dict[str, str]:
    """The environment with the endpoint, without the static credentials that SDKs prefer to it."""
    from ecs_role_creds.adapters.generic import AWS_ENVIRONMENT_VARIABLES, ENVIRONMENT_VARIABLES
    from ecs_role_creds.settings import DISABLED

    triples = (*ENVIRONMENT_VARIABLES, *(AWS_ENVIRONMENT_VARIABLES if aws else ()))
    stale = {DISABLED, *(name for triple in triples for name in triple)}
    kept = {name: value for name, value in environ.items() if name not in stale}
    wanted = {
        name: value for name, value in variables.items() if aws or not name.startswith("AWS_")
    }
    return {**kept, **wanted}


@contextmanager
def serving(provider: EcsRamRoleCredentialsProvider) -> Iterator[dict[str, str]]:
    """Serve at a free port of loopback inside the block; gives the variables for clients."""
    from ecs_role_creds.serve.application import Application
    from ecs_role_creds.serve.client_secrets import Secrets, variables
    from ecs_role_creds.serve.listening import TcpAddress, listen
    from ecs_role_creds.serve.server import Limits, Server

    listener, secrets = listen(TcpAddress("127.0.0.1", 0)), Secrets.draw()
    server = Server(Application(provider, secrets), listener.socket, Limits(shutdown_seconds=0.0))
    thread = threading.Thread(target=server.run, name="ecs-role-creds-serve", daemon=True)
    thread.start()
    try:
        yield variables(listener, secrets)
    finally:
        server.stop()
        thread.join()


def supervise(child: int, waited_for: set[signal.Signals]) -> int:
    """Pass signals on to a child process until it ends; returns its exit status.

    The child is in this process's group, so the terminal's signals (Ctrl-C) reach it anyway:
    only those that another process sent are passed on.

    Args:
        child: Its process id.
        waited_for: The signals to take, ``SIGCHLD`` among them; blocked already.
    """
    while True:
        received = signal.sigwaitinfo(waited_for)
        if received.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else code
        elif received.si_code <= 0:  # SI_USER and its like; the kernel's own are positive
            os.kill(child, received.si_signo)
