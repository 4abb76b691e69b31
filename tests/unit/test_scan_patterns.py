"""What is taken for a part of an AccessKey pair, and what is not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scan_corpus import draw_id, draw_secret, plant

from ecs_role_creds.scan.patterns import Match, find_keys, may_hold_keys

RNG = random.Random(7)
ID, SECRET = draw_id(RNG), draw_secret(RNG)


def found(line: str, above: list[str] | None = None, below: list[str] | None = None) -> list[str]:
    return [match.kind for match in find_keys(line, above or [], below or [])]


def found_in(text: str) -> set[tuple[int, str]]:
    lines = text.splitlines()
    return {
        (number + 1, match.kind)
        for number, line in enumerate(lines)
        for match in find_keys(line, lines[max(0, number - 5) : number], lines[number + 1 :][:5])
    }


@pytest.mark.parametrize("seed", range(40))
def test_every_planted_pair_is_found(seed: int) -> None:
    for planted in plant(seed):
        assert found_in(planted.content) == planted.expected, planted.name
        assert may_hold_keys(planted.content)


@pytest.mark.parametrize(
    "line",
    [
        "access_key_id = LTAI****************",
        "access_key_id = LTAI5tEXAMPLEabcdef12345",
        "access_key_id = LTAIyourAccessKeyId12345",
        "access_key_id = LTAIxxxxxxxxxxxxxxxx",
        "access_key_id = LTAIABCDEFGHIJKLMNOP",
        "access_key_id = LTAI",
        "deltaLTAI5tQz8WnR3bYk2LmVp7Xc",
        f"sum = {ID}moreLettersThanAnIdHas",
        "access_key_secret = <your AccessKey secret>",
        "access_key_secret = yourAccessKeySecretGoesHere123",
        "access_key_secret = getThirtyLettersFromElsewhereX",
        "access_key_secret = os.environ['ALIBABA_CLOUD_ACCESS_KEY_SECRET']",
        "access_key_secret = " + "0123456789abcdef" * 2,
        "access_key_secret = " + "f" * 30,
        f"sha = {SECRET}",
        f"integrity sha512-{SECRET}/{SECRET}+{SECRET}==",
        f"secret_key = {SECRET}",
        "STS.NUgYrLnoC37mZZCNnAbez",
        "",
    ],
)
def test_what_is_no_pair(line: str) -> None:
    assert found(line) == []


def test_a_secret_without_a_name_counts_next_to_an_id() -> None:
    assert found(SECRET) == []
    assert found(SECRET, above=[ID]) == ["AccessKey secret"]
    assert found(SECRET, below=["", ID]) == ["AccessKey secret"]
    assert found(SECRET, above=["LTAI****************"]) == []


def test_a_vague_name_counts_where_the_cloud_is_mentioned() -> None:
    line = f"secret_key = {SECRET}"
    assert found(line, below=["endpoint = oss-cn-hangzhou.aliyuncs.com"]) == ["AccessKey secret"]
    assert found(line, below=["endpoint = s3.example.com"]) == []


def test_a_match_shows_nothing() -> None:
    (match,) = find_keys(f"x = {ID}")
    assert match == Match("AccessKey id", ID)
    assert repr(match) == "<AccessKey id>"


@given(st.text(), st.lists(st.text(), max_size=3))
def test_anything_can_be_looked_at(line: str, around: list[str]) -> None:
    matches = list(find_keys(line, around, around))
    assert may_hold_keys(line) or not matches
