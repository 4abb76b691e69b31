"""A command on a pseudo terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from support.plain_http import wait_until

PATIENCE = 300.0


class Terminal:
    """What a person at the terminal sees and types."""

    def __init__(self, process: subprocess.Popen[bytes], keyboard: int) -> None:
        self.process = process
        self._keyboard = keyboard
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def shown(self) -> str:
        return bytes(self._shown).decode("utf-8", "replace")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.shown, PATIENCE)

    def type(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def wait(self) -> int:
        """The exit status, with all output read."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(PATIENCE)
        os.close(self._keyboard)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the last process has closed the terminal
            while chunk := os.read(self._keyboard, 4096):
                self._shown += chunk


@contextmanager
def terminal(
    command: Sequence[str],
    environ: Mapping[str, str],
    columns: int = 100,
    *,
    stdout: int | None = None,
) -> Iterator[Terminal]:
    """Run a command in a session of its own, with this terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env={"TERM": "xterm", "LANG": "C.UTF-8", **environ},
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    shown = Terminal(process, ours)
    try:
        yield shown
    finally:
        shown.close()
