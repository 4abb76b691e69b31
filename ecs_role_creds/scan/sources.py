"""Where the texts to be scanned come from: files, and the history of a git repository."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

MAX_SIZE = 20 * 1024 * 1024
_BINARY_SAMPLE = 8000  # git looks at as much

SKIPPED_FOLDERS = frozenset(
    {
        *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", "site-packages", "__pycache__"),
        *(".tox", ".nox", ".eggs", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".terraform"),
    }
)
"""Folders of version control, of installed packages and of caches."""


class Text(NamedTuple):
    """A text file, now or in the past.

    Attributes:
        path: The file.
        content: Its text.
        blob: The git object that holds it; ``None``: the file as it is now.
    """

    path: str
    content: str
    blob: str | None = None


class HistoryError(Exception):
    """The history cannot be read; says why and what to do."""


def find_files(paths: Sequence[str], include_all: bool = False) -> Iterator[Path]:
    """The files at these paths, folders walked in order.

    Args:
        paths: Files, which are taken as they are, and folders.
        include_all: Whether to walk :data:`SKIPPED_FOLDERS` too.

    Raises:
        FileNotFoundError: There is nothing at a path.
    """
    for path in map(Path, paths):
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from _walk(path, include_all)
        else:
            raise FileNotFoundError(f"{path} is neither a file nor a folder")


def _walk(folder: Path, include_all: bool) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        kept = folders if include_all else set(folders) - SKIPPED_FOLDERS
        folders[:] = sorted(kept)
        for name in sorted(files):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path


def read_file(path: Path) -> Text | None:
    """A file's text; ``None`` if it is binary or larger than :data:`MAX_SIZE`.

    Raises:
        OSError: It cannot be read.
    """
    if path.stat().st_size > MAX_SIZE:
        return None
    content = decode(path.read_bytes())
    return None if content is None else Text(str(path), content)


def decode(content: bytes) -> str | None:
    """The text of a file in whatever encoding, with what is not ASCII lost where need be.

    Keys are ASCII, and so are all common encodings of text but UTF-16.

    Returns:
        The text; ``None`` for binary content.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    if b"\0" in content[:_BINARY_SAMPLE]:
        return None
    return content.decode("utf-8", "replace")


def read_history(path: Path) -> Iterator[Text]:
    """Every version of every file under a path, from all branches and tags, newest first.

    Raises:
        HistoryError: It is not in a git repository, or git is not installed.
    """
    folder = path if path.is_dir() else path.parent
    root = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
    below = path.resolve().relative_to(root.resolve()).as_posix()
    listed = _git(root, "rev-list", "--objects", "--all", f"--filter=blob:limit={MAX_SIZE}")
    objects = [line.partition(" ") for line in listed.splitlines()]
    with subprocess.Popen(  # noqa: S603
        ["git", "-C", str(root), "cat-file", "--batch"],  # noqa: S607 (the user's git)
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        names, contents = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        for blob, _, name in objects:
            if not name or not (below == "." or name == below or name.startswith(f"{below}/")):
                continue
            names.write(f"{blob}\n".encode())
            names.flush()
            _, kind, size = contents.readline().split()
            content = contents.read(int(size))
            contents.read(1)  # a line break
            text = decode(content) if kind == b"blob" else None
            if text is not None:
                yield Text(name, text, blob)
        names.close()


def is_shallow(path: Path) -> bool:
    """Whether the repository at a path lacks older commits."""
    folder = path if path.is_dir() else path.parent
    return _git(folder, "rev-parse", "--is-shallow-repository").strip() == "true"


def find_commit(path: Path, blob: str) -> str:
    """The first commit that has this version of a file, abbreviated."""
    folder = path if path.is_dir() else path.parent
    commits = _git(
        folder, "log", "--all", "--reverse", "--format=%h", f"--find-object={blob}", "-m"
    )
    return commits.partition("\n")[0]


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "core.quotePath=off", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise HistoryError("git is not installed. Install it, or leave out --history.") from None
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise HistoryError(
            f"git cannot read a history at {folder}: {reason}. Run it in a git repository, or "
            "leave out --history."
        )
    return done.stdout.decode("utf-8", "replace")
