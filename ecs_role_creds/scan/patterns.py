"""What an AccessKey pair looks like in a line of text. Pure functions, standard library only.

An AccessKey id begins with ``LTAI`` and is recognized anywhere. An AccessKey secret is 30 letters
and digits without a prefix, so it counts only after a name that says what it is, or close to an
AccessKey id. Both are recognized in base64 too, as Kubernetes Secrets have them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

Kind = Literal["AccessKey id", "AccessKey secret"]

# In JSON, and so in notebooks, the characters \n may stand right before a value.
_BEGIN = r"(?:(?<![A-Za-z0-9+/_])|(?<=\\[nrt]))"
_END = r"(?![A-Za-z0-9_])"
_ID = re.compile(_BEGIN + r"LTAI[A-Za-z0-9]{12,20}" + _END)
_SECRET = re.compile(r"(?:(?<![A-Za-z0-9+/_.-])|(?<=\\[nrt]))[A-Za-z0-9]{30}(?![A-Za-z0-9+/_.=-])")
# 30 bytes are 40 characters; ids of 16 to 24 are 24 to 32. "Cg==" is a line break at the end.
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/])"
    r"(?:TFRBS[A-Za-z0-9+/]{17,29}={0,2}|[A-Za-z0-9+/]{40}(?:Cg==)?)"
    r"(?![A-Za-z0-9+/=])"
)

_PLACEHOLDER = re.compile(
    r"example|sample|your|dummy|fake|placeholder|change|secret|access|1234567|abcdefg"
    r"|x{4}|(.)\1{4}",
    re.IGNORECASE,
)

_SECRET_NAME = re.compile(
    r"access[_\-. ]?key[_\-. ]?secret|access[_\-. ]?secret|(?<![a-z])ak[_\-. ]?secret"
    r"|(?:ali(?:yun|baba|cloud)|oss|odps|sls)[a-z_\-. ]{0,24}(?:secret|[_\-. ]sk(?![a-z]))"
    r"|odps[_\-. ]?access[_\-. ]?key",
    re.IGNORECASE,
)
_VAGUE_NAME = re.compile(r"secret|access[_\-. ]?key|(?<![a-z])sk(?![a-z])", re.IGNORECASE)
_VALUE_NAME = re.compile(r"(?<![a-z])(?:value|default|string|text|content)\W*$", re.IGNORECASE)
_CLOUD = re.compile(r"ali(?:yun|baba|cloud)|aliyuncs", re.IGNORECASE)

_NAME_SPAN = 60
"""How far before a secret its name may stand, in characters."""
_LINES_TO_NAME = 3
"""How many lines above a ``value:`` the name may stand, as in a Kubernetes manifest."""


class Match(NamedTuple):
    """A part of an AccessKey pair that was found. Shows nothing of it.

    Attributes:
        kind: Which part it is.
        value: The part itself: a secret.
    """

    kind: Kind
    value: str

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def may_hold_keys(text: str) -> bool:
    """A quick look: ``False`` where no line of the text can match."""
    return any(pattern.search(text) for pattern in (_ID, _SECRET, _BASE64))


def find_keys(line: str, above: Sequence[str] = (), below: Sequence[str] = ()) -> Iterator[Match]:
    """Find the parts of AccessKey pairs in a line.

    Args:
        line: The line.
        above: The lines before it, the nearest one last.
        below: The lines after it.
    """
    for found in _ID.finditer(line):
        if _is_random(found[0]):
            yield Match("AccessKey id", found[0])
    for found in _SECRET.finditer(line):
        if _is_random(found[0]) and _is_secret(line[: found.start()], line, above, below):
            yield Match("AccessKey secret", found[0])
    for found in _BASE64.finditer(line):
        decoded = _decode(found[0])
        if not _is_random(decoded):
            continue
        if _ID.fullmatch(decoded):
            yield Match("AccessKey id", found[0])
        elif _SECRET.fullmatch(decoded) and _is_secret(line[: found.start()], line, above, below):
            yield Match("AccessKey secret", found[0])


def _is_random(text: str) -> bool:
    """Whether a machine drew it: mixed characters, and no word that a placeholder has."""
    drawn = text.removeprefix("LTAI")
    upper, lower, digits = (
        sum(map(is_of_kind, drawn)) for is_of_kind in (str.isupper, str.islower, str.isdigit)
    )
    if drawn != text:
        is_mixed = bool(upper) + bool(lower) + bool(digits) >= 2
    else:
        # A name in camel case has few capitals; only one secret in 200 has no digit.
        is_mixed = upper > 0 and lower > 0 and (digits > 0 or upper * 5 >= len(drawn))
    return is_mixed and len(set(text)) >= len(text) * 0.4 and _PLACEHOLDER.search(drawn) is None


def _is_secret(before: str, line: str, above: Sequence[str], below: Sequence[str]) -> bool:
    """Whether what stands around 30 letters and digits says that they are a secret."""
    before = before[-_NAME_SPAN:]
    if _SECRET_NAME.search(before):
        return True
    if _VALUE_NAME.search(before) and any(map(_SECRET_NAME.search, above[-_LINES_TO_NAME:])):
        return True
    around = (line, *above, *below)
    if any(_has_id(other) for other in around):
        return True
    return _VAGUE_NAME.search(before) is not None and any(map(_CLOUD.search, around))


def _has_id(line: str) -> bool:
    ids = [found[0] for found in _ID.finditer(line)]
    ids += [_decode(found[0]) for found in _BASE64.finditer(line)]
    return any(_ID.fullmatch(one) and _is_random(one) for one in ids)


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("ascii").rstrip("\n")
    except (binascii.Error, UnicodeDecodeError):
        return ""
