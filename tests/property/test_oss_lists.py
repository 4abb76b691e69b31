"""Lists, conditions and ranges of the fake OSS, against plain descriptions of them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_role_creds.testing.oss.conditions import range_asked_for
from ecs_role_creds.testing.oss.errors import RefusedError
from ecs_role_creds.testing.oss.listing import page_of
from ecs_role_creds.testing.oss.names import check_key

names = st.text(alphabet="ab/ü", max_size=6)


def described(keys: set[str], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    """What a list holds: keys that begin with the prefix, those beyond a delimiter grouped."""
    found: set[str] = set()
    groups: set[str] = set()
    for key in keys:
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            found.add(key)
        else:
            groups.add(key[: cut + len(delimiter)])
    return sorted(found), sorted(groups)


@given(
    st.sets(names, max_size=20),
    st.text(alphabet="ab/", max_size=3),
    st.sampled_from(["", "/", "a", "b/"]),
    st.integers(1, 5),
)
def test_pages_add_up_to_the_whole(keys: set[str], prefix: str, delimiter: str, most: int) -> None:
    keys.discard("")
    found: list[str] = []
    groups: list[str] = []
    marker = ""
    while True:
        page = page_of(sorted(keys), prefix, delimiter, marker, most)
        assert len(page.keys) + len(page.prefixes) <= most
        found += page.keys
        groups += page.prefixes
        if not page.next_marker:
            break
        assert page.next_marker > marker
        assert len(page.keys) + len(page.prefixes) == most
        marker = page.next_marker
    assert (found, groups) == described(keys, prefix, delimiter)


@given(st.sets(names, max_size=20), names)
def test_a_marker_leaves_out_what_is_not_after_it(keys: set[str], marker: str) -> None:
    keys.discard("")
    page = page_of(sorted(keys), "", "", marker, 1000)
    assert page.keys == sorted(key for key in keys if key > marker)


@given(
    st.one_of(
        st.text(max_size=12),
        st.builds("bytes={}-{}".format, st.integers(0, 20), st.integers(0, 20)),
        st.builds("bytes={}-".format, st.integers(0, 20)),
        st.builds("bytes=-{}".format, st.integers(0, 20)),
    ),
    st.integers(0, 12),
    st.booleans(),
)
def test_a_range_lies_within_the_object(value: str, size: int, is_standard: bool) -> None:
    headers = {"range": value}
    if is_standard:
        headers["x-oss-range-behavior"] = "standard"
    try:
        span = range_asked_for(headers, size)
    except RefusedError as refusal:
        span, is_refused = None, refusal.status == 416
    else:
        is_refused = False
    assert is_standard or not is_refused
    if span is not None:
        assert 0 <= span[0] <= span[1] < size


@given(st.text(max_size=600))
def test_keys_are_taken_or_refused(key: str) -> None:
    is_good = 1 <= len(key.encode()) <= 1023 and key[0] not in "/\\"
    with contextlib.nullcontext() if is_good else pytest.raises(RefusedError):
        check_key(key)
