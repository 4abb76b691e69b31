"""``ecs-role-creds exec``: run a command with the credentials in its environment."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ecs_role_creds.cli.packages import needs
from ecs_role_creds.cli.provider_options import add_provider_options, build_provider, life, tell

if TYPE_CHECKING:
    from ecs_role_creds import EcsRamRoleCredentialsProvider

FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
"""Exit statuses if the command was not run, as in env(1) and timeout(1)."""

PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
WAITED_FOR = {*PASSED_ON, signal.SIGCHLD}
"""The signals that only the main thread may take while the command runs."""

# Python ignores these two, and the command would inherit that.
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Run a command with the credentials in the environment variables that Alibaba Cloud SDKs "
        "and tools read. Variables cannot be refreshed: requests fail once the credentials expire. "
        "With --keep-fresh, the variables point to an endpoint on loopback instead, which "
        "serves refreshed credentials until the command ends. Without a command, run a shell "
        "($SHELL)."
    )
    parser.epilog = (
        "Exit status:\n"
        "  that of the command, or 128 plus the signal number if a signal ended it\n"
        "  2    wrong arguments\n"
        "  125  no credentials, a wrong setting, or the package for --keep-fresh is missing\n"
        "  126  the command cannot be executed\n"
        "  127  the command was not found\n\n"
        "Examples:\n"
        "  $ ecs-role-creds exec -- ossutil ls\n"
        "  $ ecs-role-creds exec --keep-fresh -- my-service --port 8080\n"
        "  $ ecs-role-creds exec\n"
    )
    parser.add_argument(
        "--keep-fresh",
        action="store_true",
        help="serve refreshed credentials on loopback while the command runs; needs: pip install "
        "'ecs-role-creds[serve]'",
    )
    parser.add_argument(
        "--aws", action="store_true", help="also set the variables of AWS SDKs, for S3 tools"
    )
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    add_provider_options(parser)
    parser.add_argument(
        "argv",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND",
        help="the command with its arguments",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit status, or is replaced by it."""
    from ecs_role_creds import CredentialsError

    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    argv = argv or [os.environ.get("SHELL") or "/bin/sh"]
    try:
        provider = build_provider(arguments)
        if arguments.keep_fresh:
            fetch_without_signals(provider)
            return _run_kept_fresh(provider, argv, arguments)
        left = life(provider.get_credentials().expires_in())
        if not arguments.quiet:
            tell(
                "exec",
                f"the credentials expire in {left} and are not refreshed; for a longer command, "
                "pass --keep-fresh",
            )
        return replace_process(argv, static_environment(os.environ, provider, aws=arguments.aws))
    except CredentialsError as error:
        tell("exec", str(error))
    except ImportError as error:
        tell("exec", needs("--keep-fresh", error, "serve"))
    return FAILED


# The credentials in variables.


def static_environment(
    environ: Mapping[str, str], provider: EcsRamRoleCredentialsProvider, *, aws: bool
) -> dict[str, str]:
    """Return the environment plus the current credentials."""
    from ecs_role_creds.adapters.generic import aws_environment, credentials_environment

    credentials = provider.get_credentials()
    more = credentials_environment(credentials)
    return {**environ, **more, **(aws_environment(credentials) if aws else {})}


def replace_process(argv: list[str], environ: Mapping[str, str]) -> int:
    """Replace this process with the command, which then gets all signals itself.

    Returns:
        The exit status if the command cannot be run; otherwise it does not return.
    """
    for number in IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, environ)  # noqa: S606  # nosec B606
    except (OSError, ValueError) as error:
        return _cannot_run(argv[0], error)


def _cannot_run(name: str, error: OSError | ValueError) -> int:
    tell("exec", f"cannot run {name!r}: {getattr(error, 'strerror', None) or error}")
    # ValueError: the name is empty.
    is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError, ValueError))
    return NOT_FOUND if is_missing else NOT_EXECUTABLE


# An endpoint on loopback (--keep-fresh).


def fetch_without_signals(provider: EcsRamRoleCredentialsProvider) -> None:
    """Fetch credentials on another thread, which takes none of the signals that are passed on.

    None of the threads that the fetch starts takes one either, however long it goes on. Ctrl-C
    ends the wait.

    Raises:
        CredentialsError: There are no credentials, or no thread can be started.
    """
    outcome: Future[None] = Future()

    def fetch() -> None:
        try:
            provider.get_credentials()
            outcome.set_result(None)
        except BaseException as error:  # noqa: BLE001 (raised by the thread that waits)
            outcome.set_exception(error)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    try:
        with starting_threads():
            threading.Thread(target=fetch, name="ecs-role-creds-exec", daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    outcome.result()


@contextmanager
def starting_threads() -> Iterator[None]:
    """Raise a :class:`CredentialsError` if the block cannot start a thread."""
    from ecs_role_creds import CredentialsError

    try:
        yield
    except RuntimeError as error:
        raise CredentialsError(
            f"--keep-fresh needs threads: {error}. Check the limit of threads and processes "
            "(ulimit -u, pids.max)."
        ) from error


def _run_kept_fresh(
    provider: EcsRamRoleCredentialsProvider, argv: list[str], arguments: argparse.Namespace
) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if ignored, the exit status is lost
    # Not unblocked when the command has ended: a late signal must not replace its exit status.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    with ExitStack() as running:
        with starting_threads():
            running.enter_context(provider.polling())
            variables = running.enter_context(serving(provider))
        environ = endpoint_environment(os.environ, variables, aws=arguments.aws)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)  # takes a Ctrl-C that came meanwhile
        if not arguments.quiet:
            tell("exec", "serving refreshed credentials on loopback until the command ends")
        signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
        try:
            child = os.posix_spawnp(
                argv[0], argv, environ, setsigmask=before, setsigdef=IGNORED_BY_PYTHON
            )
        except (OSError, ValueError) as error:
            return _cannot_run(argv[0], error)
        return supervise(child)


def endpoint_environment(
    environ: Mapping[str, str], variables: Mapping[str, str], *, aws: bool
) -> dict[str, str]:
    """Return the environment plus the endpoint, without credentials that SDKs would prefer."""
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
    """Serve on a free loopback port inside the block; yields the variables for clients.

    Raises:
        CredentialsError: The port cannot be opened.
        RuntimeError: No thread can be started.
    """
    from ecs_role_creds import CredentialsError
    from ecs_role_creds.serve.application import Application
    from ecs_role_creds.serve.client_secrets import Secrets, variables
    from ecs_role_creds.serve.listening import ListenError, TcpAddress, listen
    from ecs_role_creds.serve.server import Limits, Server

    secrets = Secrets.draw()
    try:
        listener = listen(TcpAddress("127.0.0.1", 0))
        server = Server(
            Application(provider, secrets), listener.socket, Limits(shutdown_seconds=0.0)
        )
    except (ListenError, OSError) as error:
        cause = error.__cause__ or error
        reason = getattr(cause, "strerror", None) or cause
        raise CredentialsError(
            f"--keep-fresh cannot serve on loopback: {reason}. Check the limit of open files "
            "(ulimit -n) and the free ports."
        ) from error
    thread = threading.Thread(target=server.run, name="ecs-role-creds-serve", daemon=True)
    thread.start()
    try:
        yield variables(listener, secrets)
    finally:
        server.stop()
        thread.join()


def supervise(child: int, kill: Callable[[int, int], object] = os.kill) -> int:
    """Forward signals to a child process until it ends; returns its exit status.

    Signals of the terminal (Ctrl-C) reach the child anyway, since it is in the same process group.
    Only signals sent by a process are forwarded. The signals must be blocked already.

    Args:
        child: The child's process id.
        kill: Sends a signal to a process.
    """
    while True:
        received = signal.sigwaitinfo(WAITED_FOR)
        if received.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else code
        elif received.si_code <= 0:  # SI_USER and its like; the kernel's own are positive
            try:
                kill(child, received.si_signo)
            except OSError as error:  # the command runs as another user (sudo)
                name = signal.Signals(received.si_signo).name
                tell("exec", f"cannot pass {name} on to the command: {error.strerror}")
