"""Lists of objects, versions 1 and 2, through every client."""

from __future__ import annotations

from typing import Any

import pytest
from support.oss_clients import OssError

from ecs_role_creds.testing import FakeOss

KEYS = ["a/1", "a/2", "b/1", "b/2/x", "c ü", "d", "e&f<g>", "ü"]


@pytest.fixture(autouse=True)
def seeded(oss: FakeOss) -> None:
    for key in reversed(KEYS):
        oss.put("pictures", key, b"x")


def pages(ask: Any, marker: str, **options: Any) -> tuple[list[str], list[str], int]:
    """Everything that a list has, page by page: keys, prefixes, and the number of pages."""
    keys, prefixes, count, going_on = [], [], 0, {}
    while True:
        page = ask("pictures", **options, **going_on)
        keys += page.keys
        prefixes += page.prefixes
        count += 1
        if not page.next_marker:
            return keys, prefixes, count
        going_on = {marker: page.next_marker}


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages(client: Any, size: int) -> None:
    for ask, marker in ((client.list, "marker"), (client.list_v2, "continuation_token")):
        assert pages(ask, marker, max_keys=size)[0] == KEYS
        keys, prefixes, count = pages(ask, marker, max_keys=size, delimiter="/")
        assert (keys, prefixes) == (["c ü", "d", "e&f<g>", "ü"], ["a/", "b/"])
        assert count == -(-6 // size)
        keys, prefixes, _ = pages(ask, marker, max_keys=size, prefix="b/", delimiter="/")
        assert (keys, prefixes) == (["b/1"], ["b/2/"])
        assert pages(ask, marker, prefix="nothing")[0] == []


def test_markers(client: Any) -> None:
    assert client.list("pictures", marker="c ü").keys == KEYS[5:]
    assert client.list_v2("pictures", start_after="c ü").keys == KEYS[5:]
    assert client.list("pictures", marker="a/", delimiter="/").prefixes == ["b/"]


def test_owners(client: Any) -> None:
    assert set(client.list("pictures").owners) == {"1000000000000001"}
    assert client.list_v2("pictures").owners == []
    assert len(client.list_v2("pictures", fetch_owner=True).owners) == len(KEYS)


@pytest.mark.parametrize(
    "options",
    [
        {"max_keys": 1001},
        {"prefix": "x" * 1024},
        {"delimiter": "x" * 1024},
        {"marker": "x" * 1024},
    ],
)
def test_bad_arguments(client: Any, options: dict[str, Any]) -> None:
    with pytest.raises(OssError) as caught:
        client.list("pictures", **options)
    assert (caught.value.status, caught.value.code) == (400, "InvalidArgument")


@pytest.mark.parametrize(
    "options", [{"max_keys": 1001}, {"continuation_token": "?"}, {"encoding_type": "rot13"}]
)
def test_bad_arguments_v2(client: Any, options: dict[str, Any]) -> None:
    with pytest.raises(OssError) as caught:
        client.list_v2("pictures", **options)
    assert (caught.value.status, caught.value.code) == (400, "InvalidArgument")


@pytest.mark.slow
def test_10000_objects(client: Any, oss: FakeOss) -> None:
    keys = [f"many/{number:05}" for number in range(10_000)]
    for key in keys:
        oss.objects["archive"][key] = b""
    found, marker = [], {}
    while True:
        page = client.list_v2("archive", max_keys=1000, **marker)
        found += page.keys
        if not page.next_marker:
            break
        marker = {"continuation_token": page.next_marker}
    assert found == keys
