"""What is asked for is allowed, and nothing else."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from ecs_role_creds.roles import Access, oss_policy
from ecs_role_creds.roles.documents import is_same_document
from ecs_role_creds.testing.openapi.evaluator import is_allowed

ACTIONS: dict[str, Access] = {
    "oss:GetObject": "read",
    "oss:PutObject": "write",
    "oss:ListParts": "write",
    "oss:AbortMultipartUpload": "write",
}
FORBIDDEN = (
    "oss:DeleteObject",
    "oss:PutObjectAcl",
    "oss:GetObjectAcl",
    "oss:GetObjectVersion",
    "oss:PutBucketAcl",
    "oss:DeleteBucket",
    "oss:ListBuckets",
    "oss:PutBucketPolicy",
    "oss:RestoreObject",
    "ram:CreateRole",
    "sts:AssumeRole",
)
buckets = st.from_regex(r"[a-z0-9][a-z0-9-]{1,8}[a-z0-9]", fullmatch=True)
keys = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1, max_size=12)
prefixes = st.text(st.sampled_from("ab/.+()[]{}^$|\\é"), max_size=6).filter(
    lambda one: not one.startswith("/")
)
accesses = st.sets(st.sampled_from(["read", "list", "write"]), min_size=1)


@given(bucket=buckets, other=buckets, access=accesses, prefix=prefixes, key=keys, rest=keys)
def test_objects(
    bucket: str, other: str, access: set[Access], prefix: str, key: str, rest: str
) -> None:
    assume(bucket != other)
    documents = [oss_policy(bucket, access, prefix)]
    for action, needed in ACTIONS.items():
        inside = f"acs:oss:*:*:{bucket}/{prefix}{rest}"
        assert is_allowed(documents, action, inside) == (needed in access)
        assert is_allowed(documents, action.upper(), inside) == (needed in access)
        anywhere = f"acs:oss:*:*:{bucket}/{key}"
        is_inside = needed in access and key.startswith(prefix)
        assert is_allowed(documents, action, anywhere) == is_inside
        assert not is_allowed(documents, action, f"acs:oss:*:*:{other}/{prefix}{rest}")
        assert not is_allowed(documents, action, f"acs:oss:*:*:{bucket}")
    for action in FORBIDDEN:
        for resource in (f"{bucket}/{prefix}{rest}", bucket, "*"):
            assert not is_allowed(documents, action, f"acs:oss:*:*:{resource}")


@given(bucket=buckets, other=buckets, access=accesses, prefix=prefixes, asked=prefixes)
def test_listing(bucket: str, other: str, access: set[Access], prefix: str, asked: str) -> None:
    assume(bucket != other)
    documents = [oss_policy(bucket, access, prefix)]
    resource = f"acs:oss:*:*:{bucket}"
    is_inside = "list" in access and asked.startswith(prefix)
    context = {"oss:Prefix": asked}
    assert is_allowed(documents, "oss:ListObjects", resource, context) == is_inside
    is_whole = "list" in access and not prefix
    assert is_allowed(documents, "oss:ListObjects", resource) == is_whole
    assert not is_allowed(documents, "oss:ListObjects", f"acs:oss:*:*:{other}", context)
    assert not is_allowed(documents, "oss:ListObjects", f"{resource}/key", context)


@given(bucket=buckets, access=accesses, more=accesses, prefix=prefixes, other=prefixes)
def test_documents_are_the_same_only_if_they_allow_the_same(
    bucket: str, access: set[Access], more: set[Access], prefix: str, other: str
) -> None:
    one, two = oss_policy(bucket, access, prefix), oss_policy(bucket, more, other)
    assert is_same_document(one, two) == ((access, prefix) == (more, other))
