"""The fake OSS as a file system, through ossfs. Skipped where ossfs is not installed."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest

from ecs_role_creds.testing import FakeMetadataServer, FakeOss

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ossfs = pytest.importorskip("ossfs", exc_type=ImportError)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def files(oss: FakeOss, metadata: FakeMetadataServer) -> Any:
    issued = metadata.rotate()
    return ossfs.OSSFileSystem(
        endpoint=oss.endpoint,
        key=issued.access_key_id,
        secret=issued.access_key_secret,
        token=issued.security_token,
        skip_instance_cache=True,
    )


def test_read_and_write(files: Any, oss: FakeOss) -> None:
    content = os.urandom(300_000)
    files.pipe("/pictures/a/b ü.bin", content)
    assert files.cat("/pictures/a/b ü.bin") == content
    assert files.info("/pictures/a/b ü.bin")["size"] == len(content)
    with files.open("/pictures/a/b ü.bin", "rb") as file:
        file.seek(1000)
        assert file.read(10) == content[1000:1010]
    assert files.cat_file("/pictures/a/b ü.bin", start=5, end=9) == content[5:10]
    assert oss.objects["pictures"]["a/b ü.bin"].content == content
    assert oss.refused == []


def test_append(files: Any, oss: FakeOss) -> None:
    for line in (b"one\n", b"two\n"):
        with files.open("/pictures/log", "ab") as file:
            file.write(line)
    assert oss.objects["pictures"]["log"].content == b"one\ntwo\n"
    assert oss.objects["pictures"]["log"].kind == "Appendable"


def test_lists(files: Any, oss: FakeOss) -> None:
    for key in ("a/1", "a/2", "b/c/3", "d"):
        oss.put("pictures", key, b"x")
    assert files.ls("/", detail=False) == ["/archive", "/pictures"]
    assert files.ls("/pictures/a", detail=False) == ["/pictures/a/1", "/pictures/a/2"]
    listed = files.ls("/pictures", detail=False)
    assert [name.rstrip("/") for name in listed] == ["/pictures/a", "/pictures/b", "/pictures/d"]
    assert len(files.find("/pictures")) == 4
    assert files.exists("/pictures/d")
    assert not files.exists("/pictures/e")
    assert files.isdir("/pictures/b")


def test_move_copy_and_remove(files: Any, oss: FakeOss) -> None:
    oss.put("pictures", "a/1", b"x")
    files.cp("/pictures/a/1", "/pictures/copied")
    files.mv("/pictures/a/1", "/pictures/moved")
    assert sorted(oss.objects["pictures"]) == ["copied", "moved"]
    assert oss.objects["pictures"]["copied"].content == b"x"
    files.rm("/pictures/moved")
    assert list(oss.objects["pictures"]) == ["copied"]


def test_missing_file(files: Any) -> None:
    with pytest.raises(FileNotFoundError):
        files.cat("/pictures/nowhere")
