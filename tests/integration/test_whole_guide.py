"""The whole guide on loopback: the command, the three fakes, and an application with oss2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import oss2
import pytest
from support.roles import manage

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import NoRoleAttachedError
from ecs_role_creds.roles import RoleManager
from ecs_role_creds.testing import FakeMetadataServer, FakeOpenApi, FakeOss

INSTANCE = "i-fake0000000000000001"


class World:
    """An instance with an application, and an administrator elsewhere."""

    def __init__(self, metadata: FakeMetadataServer, openapi: FakeOpenApi, oss: FakeOss) -> None:
        self.metadata, self.openapi, self.oss = metadata, openapi, oss
        self.manager: RoleManager = manage(openapi)
        self.provider = EcsRamRoleCredentialsProvider(endpoint=metadata.endpoint)
        auth = oss2.ProviderAuthV4(self.provider)
        self.bucket = oss2.Bucket(auth, oss.endpoint, "album", region=oss.region)
        openapi.add_instance(INSTANCE, metadata=metadata)

    def set_up(self, *access: Any, prefix: str = "") -> None:
        plan = self.manager.plan_setup("app", "album", access, [INSTANCE], prefix=prefix)
        assert self.manager.apply(plan).is_complete


@pytest.fixture
def world() -> Iterator[World]:
    with (
        FakeMetadataServer(role=None) as metadata,
        FakeOpenApi() as openapi,
        FakeOss(metadata, ["album", "other"], policies=openapi) as oss,
    ):
        yield World(metadata, openapi, oss)


def refused(call: Any, *arguments: Any) -> bool:
    """Whether OSS refuses a call for want of a permission."""
    try:
        call(*arguments)
    except oss2.exceptions.AccessDenied:
        return True
    return False


def test_from_setup_to_teardown(world: World) -> None:
    with pytest.raises(NoRoleAttachedError):
        world.provider.get_credentials()
    world.set_up("read", "write")
    world.provider.refresh()
    world.bucket.put_object("cat.png", b"meow")
    world.metadata.rotate()
    world.provider.refresh()
    assert world.bucket.get_object("cat.png").read() == b"meow"
    assert refused(world.bucket.list_objects)
    assert refused(world.bucket.delete_object, "cat.png")
    elsewhere = oss2.Bucket(world.bucket.auth, world.oss.endpoint, "other", region="cn-fake-1")
    assert refused(elsewhere.put_object, "cat.png", b"meow")
    assert world.manager.apply(world.manager.plan_teardown("app")).is_complete
    # The credentials live on, but the policy is gone: nothing is allowed any more.
    assert refused(world.bucket.get_object, "cat.png")
    with pytest.raises(NoRoleAttachedError):
        world.provider.refresh()


def test_a_change_of_the_role_under_a_running_application(world: World) -> None:
    manager = world.manager
    world.set_up("read", "write")
    world.bucket.put_object("cat.png", b"meow")
    manager.apply(manager.plan_create("reader"))
    manager.apply(manager.plan_grant_bucket("reader", "album", ["read"]))
    assert manager.apply(manager.plan_change("reader", [INSTANCE])).is_complete
    # Nothing happens to the application: the old credentials are valid until their own end.
    world.bucket.put_object("cat.png", b"purr")
    world.metadata.expire()
    assert world.provider.refresh().role_name == "reader"
    assert world.bucket.get_object("cat.png").read() == b"purr"
    assert refused(world.bucket.put_object, "cat.png", b"hiss")


def test_what_is_revoked_is_refused_at_once(world: World) -> None:
    manager = world.manager
    manager.apply(manager.plan_create("app"))
    manager.apply(manager.plan_grant_bucket("app", "album", ["read", "write", "list"]))
    manager.apply(manager.plan_attach("app", [INSTANCE]))
    world.bucket.put_object("cat.png", b"meow")
    assert [one.key for one in world.bucket.list_objects().object_list] == ["cat.png"]
    plan = manager.plan_grant_bucket("app", "album", ["read"], replace=True)
    manager.apply(plan)
    assert refused(world.bucket.put_object, "cat.png", b"purr")
    assert refused(world.bucket.list_objects)
    assert world.bucket.get_object("cat.png").read() == b"meow"
    manager.apply(manager.plan_revoke_bucket("app", "album"))
    assert refused(world.bucket.get_object, "cat.png")


def test_a_prefix(world: World) -> None:
    world.set_up("read", "write", prefix="photos/")
    world.bucket.put_object("photos/cat.png", b"meow")
    for key in ("cat.png", "photos", "photos-2026/cat.png"):
        assert refused(world.bucket.put_object, key, b"meow")
        assert refused(world.bucket.get_object, key)


def test_a_list_under_a_prefix(world: World) -> None:
    world.set_up("list", prefix="photos/")
    assert world.bucket.list_objects(prefix="photos/").object_list == []
    for prefix in ("", "private/"):
        assert refused(world.bucket.list_objects, prefix)


def test_uploads_in_parts(world: World) -> None:
    world.set_up("write")
    upload = world.bucket.init_multipart_upload("big").upload_id
    part = world.bucket.upload_part("big", upload, 1, b"x")
    assert len(world.bucket.list_parts("big", upload).parts) == 1
    parts = [oss2.models.PartInfo(1, part.etag)]
    world.bucket.complete_multipart_upload("big", upload, parts)
    other = world.bucket.init_multipart_upload("big").upload_id
    world.bucket.abort_multipart_upload("big", other)
    assert refused(world.bucket.get_object, "big")
