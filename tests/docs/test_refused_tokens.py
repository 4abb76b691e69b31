"""The error codes on the page about refusals are those that the adapters act on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ecs_role_creds.adapters._provider import _REFUSED, is_token_refused

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "refused-tokens.md"
TEXT = PAGE.read_text(encoding="utf-8")

_ROW = re.compile(r"^\| ((?:`[\w.*]+`(?:, )?)+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def test_codes_to_replace_are_those_of_the_adapters() -> None:
    rows = [(re.findall(r"`([\w.*]+)`", codes), do.strip()) for codes, do in _ROW.findall(TEXT)]
    assert len(rows) > 4
    for codes, do in rows:
        for code in codes:
            assert is_token_refused(code) is (do == "replace"), code
    replaced = {code.partition(".")[0] for codes, do in rows for code in codes if do == "replace"}
    assert replaced == _REFUSED


def test_the_sample_has_the_same_codes() -> None:
    sample = re.search(r"^REFUSED = (\{.*?^\})", TEXT, re.MULTILINE | re.DOTALL)
    assert sample
    assert ast.literal_eval(sample[1]) == _REFUSED
