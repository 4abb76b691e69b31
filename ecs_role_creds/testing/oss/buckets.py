"""Operations on buckets: create, delete, list, ACL, information."""

from __future__ import annotations

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.errors import RefusedError, malformed_xml, missing_argument
from ecs_role_creds.testing.oss.names import (
    BucketAcl,
    StorageClass,
    check_bucket_acl,
    check_bucket_name,
    check_storage_class,
    integer_of,
)
from ecs_role_creds.testing.oss.operations import Call, Operation
from ecs_role_creds.testing.oss.storage import Bucket, Buckets
from ecs_role_creds.testing.oss.xml import element, parse, text, timestamp, xml_response

OWNER = element("Owner", text("ID", "1000000000000001"), text("DisplayName", "1000000000000001"))
"""The owner of everything: the fake account of the metadata service."""


def put_bucket(call: Call) -> Response:
    """Create a bucket. The owner may repeat it, to change the ACL only (inferred)."""
    name = call.received.bucket or ""
    check_bucket_name(name)
    acl = call.headers.get("x-oss-acl")
    checked_acl: BucketAcl | None = None if acl is None else check_bucket_acl(acl)
    storage_class = _requested_storage_class(call.body)
    if name not in call.buckets:
        Buckets.create(call.buckets, name)
        call.buckets[name].created_at = call.now
        call.buckets[name].storage_class = storage_class or "Standard"
    elif storage_class not in (None, call.bucket.storage_class):
        raise RefusedError(
            409,
            "BucketAlreadyExists",
            "Bucket already exists can't modify storage class.",
            "",
            {"BucketName": name},
        )
    if checked_acl is not None:
        call.bucket.acl = checked_acl
    return Response(200, b"", {"Location": f"/{name}"})


def _requested_storage_class(body: bytes) -> StorageClass | None:
    if not body.strip():
        return None
    root = parse(body, "CreateBucketConfiguration")
    if root is None:
        raise malformed_xml("the root node is not named CreateBucketConfiguration.")
    for child in root:
        if child.tag not in ("StorageClass", "DataRedundancyType"):
            raise malformed_xml(f"FakeOss does not know the node {child.tag}.")
    if (root.findtext("DataRedundancyType") or "LRS") not in ("LRS", "ZRS"):
        raise malformed_xml("DataRedundancyType is LRS or ZRS.")
    name = root.findtext("StorageClass")
    return None if name is None else check_storage_class(name)


def delete_bucket(call: Call) -> Response:
    """Delete a bucket without objects and without multipart uploads."""
    bucket = call.bucket
    if len(bucket) or bucket.uploads:
        what = "objects" if len(bucket) else "multipart uploads"
        raise RefusedError(
            409,
            "BucketNotEmpty",
            f"The bucket has {what}. Please delete them first.",
            "0015-00000301",
            {"BucketName": bucket.name},
        )
    del call.buckets[bucket.name]
    return Response(204)


def list_buckets(call: Call) -> Response:
    """List the buckets by name, in pages."""
    prefix, marker = call.query.get("prefix", ""), call.query.get("marker", "")
    most = integer_of("max-keys", call.query.get("max-keys"), 1, 1000, 100, "0017-00000289")
    names = sorted(name for name in call.buckets if name.startswith(prefix) and name > marker)
    page, is_truncated = names[:most], len(names) > most
    shown = [_summary(call.buckets[name], call.region) for name in page]
    return xml_response(
        "ListAllMyBucketsResult",
        text("Prefix", prefix),
        text("Marker", marker),
        text("MaxKeys", most),
        text("IsTruncated", str(is_truncated).lower()),
        *([text("NextMarker", page[-1])] if is_truncated else []),
        OWNER,
        element("Buckets", *(element("Bucket", *parts) for parts in shown)),
    )


def _summary(bucket: Bucket, region: str) -> list[str]:
    return [
        text("Name", bucket.name),
        text("CreationDate", timestamp(bucket.created_at)),
        text("Location", f"oss-{region}"),
        text("Region", region),
        text("StorageClass", bucket.storage_class),
        text("ExtranetEndpoint", f"oss-{region}.aliyuncs.com"),
        text("IntranetEndpoint", f"oss-{region}-internal.aliyuncs.com"),
    ]


def get_bucket_info(call: Call) -> Response:
    """Return information about a bucket."""
    return xml_response(
        "BucketInfo",
        element(
            "Bucket",
            *_summary(call.bucket, call.region),
            OWNER,
            element("AccessControlList", text("Grant", call.bucket.acl)),
            text("DataRedundancyType", "LRS"),
            text("Versioning", ""),
            text("Comment", ""),
        ),
    )


def get_bucket_location(call: Call) -> Response:
    """Return the location of a bucket."""
    _ = call.bucket
    return xml_response("LocationConstraint", f"oss-{call.region}")


def get_bucket_stat(call: Call) -> Response:
    """Return the number and the size of the objects in a bucket."""
    objects = list(call.bucket.values())
    by_class: list[str] = []
    for storage_class, shown in _STAT_NAMES.items():
        sizes = [len(one.content) for one in objects if one.storage_class == storage_class]
        by_class += [text(f"{shown}Storage", sum(sizes))]
        if storage_class != "Standard":
            by_class += [text(f"{shown}RealStorage", sum(sizes))]
        by_class += [text(f"{shown}ObjectCount", len(sizes))]
    return xml_response(
        "BucketStat",
        text("Storage", sum(len(one.content) for one in objects)),
        text("ObjectCount", len(objects)),
        text("MultipartUploadCount", len(call.bucket.uploads)),
        text("LiveChannelCount", 0),
        text("LastModifiedTime", int(call.now.timestamp())),
        *by_class,
    )


_STAT_NAMES: dict[StorageClass, str] = {
    "Standard": "Standard",
    "IA": "InfrequentAccess",
    "Archive": "Archive",
    "ColdArchive": "ColdArchive",
    "DeepColdArchive": "DeepColdArchive",
}


def put_bucket_acl(call: Call) -> Response:
    """Set the ACL of a bucket."""
    acl = call.headers.get("x-oss-acl")
    if acl is None:
        raise missing_argument("x-oss-acl")
    call.bucket.acl = check_bucket_acl(acl)
    return Response(200)


def get_bucket_acl(call: Call) -> Response:
    """Return the ACL of a bucket."""
    return xml_response(
        "AccessControlPolicy",
        OWNER,
        element("AccessControlList", text("Grant", call.bucket.acl)),
    )


OPERATIONS = (
    Operation(
        "ListBuckets",
        "GET",
        "service",
        list_buckets,
        "oss:ListBuckets",
        parameters=frozenset({"prefix", "marker", "max-keys"}),
    ),
    Operation(
        "PutBucket",
        "PUT",
        "bucket",
        put_bucket,
        "oss:PutBucket",
        headers=frozenset({"x-oss-acl"}),
    ),
    Operation("DeleteBucket", "DELETE", "bucket", delete_bucket, "oss:DeleteBucket"),
    Operation(
        "GetBucketInfo",
        "GET",
        "bucket",
        get_bucket_info,
        "oss:GetBucketInfo",
        selectors=frozenset({"bucketInfo"}),
    ),
    Operation(
        "GetBucketLocation",
        "GET",
        "bucket",
        get_bucket_location,
        "oss:GetBucketLocation",
        selectors=frozenset({"location"}),
    ),
    Operation(
        "GetBucketStat",
        "GET",
        "bucket",
        get_bucket_stat,
        "oss:GetBucketStat",
        selectors=frozenset({"stat"}),
    ),
    Operation(
        "PutBucketAcl",
        "PUT",
        "bucket",
        put_bucket_acl,
        "oss:PutBucketAcl",
        selectors=frozenset({"acl"}),
        headers=frozenset({"x-oss-acl"}),
    ),
    Operation(
        "GetBucketAcl",
        "GET",
        "bucket",
        get_bucket_acl,
        "oss:GetBucketAcl",
        selectors=frozenset({"acl"}),
    ),
)
