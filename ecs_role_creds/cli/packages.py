"""The message for an optional package that is not installed."""

from __future__ import annotations


def needs(what: str, error: ImportError, extra: str) -> str:
    """Name the package that could not be imported, and say how to install it.

    Args:
        what: What needs the package: ``this command``, or an option.
        error: The failed import.
        extra: The extra of this library that installs the package.
    """
    cause = error.__cause__ if error.name is None else None
    name = cause.name if isinstance(cause, ImportError) else error.name
    package = "a package that cannot be imported"
    if name:
        package = "the package " + name.partition(".")[0].replace("_", "-")
    # If the package is installed but broken, the reason matters.
    reason = "" if isinstance(cause or error, ModuleNotFoundError) else f" ({error})"
    return f"{what} needs {package}{reason}: pip install 'ecs-role-creds[{extra}]'"
