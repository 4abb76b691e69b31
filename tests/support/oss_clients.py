"""The real clients of OSS, each behind the same methods, so that one test runs through all.

Errors become :class:`OssError`, whichever client raised them.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import requests

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import alibabacloud_oss_v2 as oss_v2
    import alibabacloud_oss_v2.aio as oss_v2_aio
    import oss2

from ecs_role_creds.testing import FakeOss

Headers = Mapping[str, str]
NONE: Headers = MappingProxyType({})


class OssError(Exception):
    """What OSS refused, as the client told it."""

    def __init__(self, status: int, code: str, ec: str, request_id: str) -> None:
        super().__init__(f"{status} {code} {ec}")
        self.status = status
        self.code = code
        self.ec = ec
        self.request_id = request_id


class Answer(NamedTuple):
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Listing(NamedTuple):
    """A page of a list."""

    keys: list[str]
    prefixes: list[str]
    next_marker: str
    owners: list[str]


class Oss2:
    """oss2, with V1 or V4 signatures."""

    def __init__(self, oss: FakeOss, provider: Any, version: str) -> None:
        auth = {"v1": oss2.ProviderAuth, "v4": oss2.ProviderAuthV4}[version]
        self._oss, self._auth = oss, auth(provider)

    def close(self) -> None:
        pass

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except oss2.exceptions.ServerError as error:
            ec = error.details.get("EC", "")
            raise OssError(error.status, error.code, ec, error.request_id) from error

    def _bucket(self, name: str) -> Any:
        return oss2.Bucket(self._auth, self._oss.endpoint, name, region=self._oss.region)

    def _call(self, method: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
        with self._errors():
            return getattr(self._bucket(name), method)(*args, **kwargs)

    # Buckets.

    def list_buckets(self, prefix: str = "", most: int = 100) -> list[str]:
        with self._errors():
            service = oss2.Service(self._auth, self._oss.endpoint, region=self._oss.region)
            return [one.name for one in oss2.BucketIterator(service, prefix, max_keys=most)]

    def create_bucket(self, name: str, acl: str | None = None, storage: str = "Standard") -> None:
        self._call("create_bucket", name, acl, oss2.models.BucketCreateConfig(storage))

    def delete_bucket(self, name: str) -> None:
        self._call("delete_bucket", name)

    def bucket_info(self, name: str) -> tuple[str, str, str, str]:
        info = self._call("get_bucket_info", name)
        return info.name, info.acl.grant, info.storage_class, info.location

    def bucket_location(self, name: str) -> str:
        return str(self._call("get_bucket_location", name).location)

    def bucket_stat(self, name: str) -> tuple[int, int, int]:
        stat = self._call("get_bucket_stat", name)
        return stat.object_count, stat.storage_size_in_bytes, stat.multi_part_upload_count

    def put_bucket_acl(self, name: str, acl: str) -> None:
        self._call("put_bucket_acl", name, acl)

    def bucket_acl(self, name: str) -> str:
        return str(self._call("get_bucket_acl", name).acl)

    # Objects.

    def put(self, bucket: str, key: str, content: bytes, headers: Headers = NONE) -> Answer:
        result = self._call("put_object", bucket, key, content, headers=dict(headers))
        return Answer(result.status, result.headers)

    def get(self, bucket: str, key: str, headers: Headers = NONE, params: Headers = NONE) -> Answer:
        result = self._call("get_object", bucket, key, headers=dict(headers), params=dict(params))
        with self._errors():
            return Answer(result.status, result.headers, result.read())

    def head(self, bucket: str, key: str, headers: Headers = NONE) -> Answer:
        result = self._call("head_object", bucket, key, headers=dict(headers))
        return Answer(result.status, result.headers)

    def meta(self, bucket: str, key: str) -> Answer:
        result = self._call("get_object_meta", bucket, key)
        return Answer(result.status, result.headers)

    def delete(self, bucket: str, key: str) -> int:
        return int(self._call("delete_object", bucket, key).status)

    def delete_many(self, bucket: str, keys: list[str]) -> list[str]:
        return list(self._call("batch_delete_objects", bucket, keys).deleted_keys)

    def copy(self, source: tuple[str, str], bucket: str, key: str, headers: Headers = NONE) -> str:
        result = self._call("copy_object", bucket, *source, key, headers=dict(headers))
        return str(result.etag)

    def append(self, bucket: str, key: str, position: int, content: bytes) -> int:
        return int(self._call("append_object", bucket, key, position, content).next_position)

    def put_symlink(self, bucket: str, key: str, target: str) -> None:
        self._call("put_symlink", bucket, target, key)

    def symlink(self, bucket: str, key: str) -> str:
        return str(self._call("get_symlink", bucket, key).target_key)

    def put_acl(self, bucket: str, key: str, acl: str) -> None:
        self._call("put_object_acl", bucket, key, acl)

    def acl(self, bucket: str, key: str) -> str:
        return str(self._call("get_object_acl", bucket, key).acl)

    def put_tags(self, bucket: str, key: str, tags: Headers) -> None:
        rule = oss2.models.TaggingRule()
        for name, value in tags.items():
            rule.tagging_rule[name] = value
        self._call("put_object_tagging", bucket, key, oss2.models.Tagging(rule))

    def tags(self, bucket: str, key: str) -> dict[str, str]:
        return dict(self._call("get_object_tagging", bucket, key).tag_set.tagging_rule)

    def delete_tags(self, bucket: str, key: str) -> None:
        self._call("delete_object_tagging", bucket, key)

    def restore(self, bucket: str, key: str, days: int) -> int:
        settings = oss2.models.RestoreConfiguration(days=days)
        return int(self._call("restore_object", bucket, key, input=settings).status)

    def list(self, bucket: str, **options: Any) -> Listing:
        page = self._call("list_objects", bucket, **options)
        return self._listing(page, page.next_marker)

    def list_v2(self, bucket: str, **options: Any) -> Listing:
        page = self._call("list_objects_v2", bucket, **options)
        return self._listing(page, page.next_continuation_token)

    @staticmethod
    def _listing(page: Any, next_marker: str) -> Listing:
        owners = [one.owner.id for one in page.object_list if one.owner is not None]
        return Listing(
            [one.key for one in page.object_list], page.prefix_list, next_marker or "", owners
        )

    # Multipart uploads.

    def initiate(
        self, bucket: str, key: str, headers: Headers = NONE, params: Headers = NONE
    ) -> str:
        result = self._call(
            "init_multipart_upload", bucket, key, headers=dict(headers), params=dict(params)
        )
        return str(result.upload_id)

    def upload_part(self, bucket: str, key: str, upload: str, number: int, content: bytes) -> str:
        return str(self._call("upload_part", bucket, key, upload, number, content).etag)

    def upload_part_copy(
        self, source: tuple[str, str], span: tuple[int, int], bucket: str, key: str, upload: str
    ) -> str:
        return str(self._call("upload_part_copy", bucket, *source, span, key, upload, 1).etag)

    def parts(self, bucket: str, key: str, upload: str, most: int = 1000) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        marker = ""
        while True:
            page = self._call("list_parts", bucket, key, upload, marker, most)
            found += [(part.part_number, part.size) for part in page.parts]
            if not page.is_truncated:
                return found
            marker = page.next_marker

    def uploads(self, bucket: str, prefix: str = "", most: int = 1000) -> list[tuple[str, str]]:
        with self._errors():
            found = oss2.MultipartUploadIterator(
                self._bucket(bucket), prefix=prefix, max_uploads=most
            )
            return [(one.key, one.upload_id) for one in found]

    def complete(
        self,
        bucket: str,
        key: str,
        upload: str,
        parts: list[tuple[int, str]],
        headers: Headers = NONE,
    ) -> str:
        listed = [oss2.models.PartInfo(number, etag) for number, etag in parts]
        result = self._call(
            "complete_multipart_upload", bucket, key, upload, listed or None, headers=dict(headers)
        )
        return str(result.etag)

    def abort(self, bucket: str, key: str, upload: str) -> None:
        self._call("abort_multipart_upload", bucket, key, upload)


class OssV2:
    """alibabacloud-oss-v2: the synchronous client, or the asyncio one."""

    def __init__(self, oss: FakeOss, provider: Any, version: str, *, is_async: bool) -> None:
        config = oss_v2.config.load_default()
        config.credentials_provider = provider
        config.region, config.endpoint = oss.region, oss.endpoint
        config.signature_version = version
        config.retry_max_attempts = 1
        self._loop = asyncio.new_event_loop() if is_async else None
        self._client = oss_v2_aio.AsyncClient(config) if is_async else oss_v2.Client(config)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.run_until_complete(self._client.close())
            self._loop.close()

    def _run(self, awaitable: Any) -> Any:
        return awaitable if self._loop is None else self._loop.run_until_complete(awaitable)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return self._run(getattr(self._client, method)(request))
        except oss_v2.exceptions.OperationError as failure:
            error = failure.unwrap()
            if not isinstance(error, oss_v2.exceptions.ServiceError):
                raise
            raise OssError(
                error.status_code, error.code, error.ec or "", error.request_id
            ) from failure

    # Buckets.

    def list_buckets(self, prefix: str = "", most: int = 100) -> list[str]:
        found: list[str] = []
        marker = None
        while True:
            page = self._call(
                "list_buckets",
                oss_v2.ListBucketsRequest(prefix=prefix, marker=marker, max_keys=most),
            )
            found += [one.name for one in page.buckets or []]
            if not page.is_truncated:
                return found
            marker = page.next_marker

    def create_bucket(self, name: str, acl: str | None = None, storage: str = "Standard") -> None:
        settings = oss_v2.CreateBucketConfiguration(storage_class=storage)
        self._call(
            "put_bucket",
            oss_v2.PutBucketRequest(bucket=name, acl=acl, create_bucket_configuration=settings),
        )

    def delete_bucket(self, name: str) -> None:
        self._call("delete_bucket", oss_v2.DeleteBucketRequest(bucket=name))

    def bucket_info(self, name: str) -> tuple[str, str, str, str]:
        info = self._call("get_bucket_info", oss_v2.GetBucketInfoRequest(bucket=name)).bucket_info
        return info.name, info.acl, info.storage_class, info.location

    def bucket_location(self, name: str) -> str:
        request = oss_v2.GetBucketLocationRequest(bucket=name)
        return str(self._call("get_bucket_location", request).location)

    def bucket_stat(self, name: str) -> tuple[int, int, int]:
        stat = self._call("get_bucket_stat", oss_v2.GetBucketStatRequest(bucket=name))
        return stat.object_count, stat.storage, stat.multi_part_upload_count

    def put_bucket_acl(self, name: str, acl: str) -> None:
        self._call("put_bucket_acl", oss_v2.PutBucketAclRequest(bucket=name, acl=acl))

    def bucket_acl(self, name: str) -> str:
        return str(self._call("get_bucket_acl", oss_v2.GetBucketAclRequest(bucket=name)).acl)

    # Objects.

    def put(self, bucket: str, key: str, content: bytes, headers: Headers = NONE) -> Answer:
        result = self._call(
            "put_object",
            oss_v2.PutObjectRequest(bucket=bucket, key=key, body=content, headers=dict(headers)),
        )
        return Answer(result.status_code, result.headers)

    def get(self, bucket: str, key: str, headers: Headers = NONE, params: Headers = NONE) -> Answer:
        request = oss_v2.GetObjectRequest(
            bucket=bucket, key=key, headers=dict(headers), parameters=dict(params)
        )
        result = self._call("get_object", request)
        body = result.body.content if self._loop is None else self._run(result.body.read())
        return Answer(result.status_code, result.headers, body)

    def head(self, bucket: str, key: str, headers: Headers = NONE) -> Answer:
        request = oss_v2.HeadObjectRequest(bucket=bucket, key=key, headers=dict(headers))
        result = self._call("head_object", request)
        return Answer(result.status_code, result.headers)

    def meta(self, bucket: str, key: str) -> Answer:
        request = oss_v2.GetObjectMetaRequest(bucket=bucket, key=key)
        result = self._call("get_object_meta", request)
        return Answer(result.status_code, result.headers)

    def delete(self, bucket: str, key: str) -> int:
        request = oss_v2.DeleteObjectRequest(bucket=bucket, key=key)
        return int(self._call("delete_object", request).status_code)

    def delete_many(self, bucket: str, keys: list[str]) -> list[str]:
        objects = [oss_v2.DeleteObject(key=key) for key in keys]
        request = oss_v2.DeleteMultipleObjectsRequest(
            bucket=bucket, objects=objects, encoding_type="url"
        )
        result = self._call("delete_multiple_objects", request)
        return [one.key for one in result.deleted_objects or []]

    def copy(self, source: tuple[str, str], bucket: str, key: str, headers: Headers = NONE) -> str:
        request = oss_v2.CopyObjectRequest(
            bucket=bucket,
            key=key,
            source_bucket=source[0],
            source_key=source[1],
            headers=dict(headers),
        )
        return str(self._call("copy_object", request).etag).strip('"')

    def append(self, bucket: str, key: str, position: int, content: bytes) -> int:
        request = oss_v2.AppendObjectRequest(
            bucket=bucket, key=key, position=position, body=content
        )
        return int(self._call("append_object", request).next_position)

    def put_symlink(self, bucket: str, key: str, target: str) -> None:
        request = oss_v2.PutSymlinkRequest(bucket=bucket, key=key, symlink_target=target)
        self._call("put_symlink", request)

    def symlink(self, bucket: str, key: str) -> str:
        request = oss_v2.GetSymlinkRequest(bucket=bucket, key=key)
        return unquote(self._call("get_symlink", request).target)

    def put_acl(self, bucket: str, key: str, acl: str) -> None:
        self._call("put_object_acl", oss_v2.PutObjectAclRequest(bucket=bucket, key=key, acl=acl))

    def acl(self, bucket: str, key: str) -> str:
        request = oss_v2.GetObjectAclRequest(bucket=bucket, key=key)
        return str(self._call("get_object_acl", request).acl)

    def put_tags(self, bucket: str, key: str, tags: Headers) -> None:
        listed = [oss_v2.Tag(key=name, value=value) for name, value in tags.items()]
        tagging = oss_v2.Tagging(tag_set=oss_v2.TagSet(tags=listed))
        request = oss_v2.PutObjectTaggingRequest(bucket=bucket, key=key, tagging=tagging)
        self._call("put_object_tagging", request)

    def tags(self, bucket: str, key: str) -> dict[str, str]:
        request = oss_v2.GetObjectTaggingRequest(bucket=bucket, key=key)
        result = self._call("get_object_tagging", request)
        return {one.key: one.value for one in result.tag_set.tags or []}

    def delete_tags(self, bucket: str, key: str) -> None:
        request = oss_v2.DeleteObjectTaggingRequest(bucket=bucket, key=key)
        self._call("delete_object_tagging", request)

    def restore(self, bucket: str, key: str, days: int) -> int:
        settings = oss_v2.RestoreRequest(days=days)
        request = oss_v2.RestoreObjectRequest(bucket=bucket, key=key, restore_request=settings)
        return int(self._call("restore_object", request).status_code)

    def list(self, bucket: str, **options: Any) -> Listing:
        request = oss_v2.ListObjectsRequest(bucket=bucket, encoding_type="url", **options)
        page = self._call("list_objects", request)
        return self._listing(page, page.next_marker)

    def list_v2(self, bucket: str, **options: Any) -> Listing:
        options = {"encoding_type": "url", **options}
        page = self._call("list_objects_v2", oss_v2.ListObjectsV2Request(bucket=bucket, **options))
        return self._listing(page, page.next_continuation_token)

    @staticmethod
    def _listing(page: Any, next_marker: str) -> Listing:
        contents = page.contents or []
        return Listing(
            [one.key for one in contents],
            [one.prefix for one in page.common_prefixes or []],
            next_marker or "",
            [one.owner.id for one in contents if one.owner is not None],
        )

    # Multipart uploads.

    def initiate(
        self, bucket: str, key: str, headers: Headers = NONE, params: Headers = NONE
    ) -> str:
        request = oss_v2.InitiateMultipartUploadRequest(
            bucket=bucket, key=key, headers=dict(headers), parameters=dict(params)
        )
        return str(self._call("initiate_multipart_upload", request).upload_id)

    def upload_part(self, bucket: str, key: str, upload: str, number: int, content: bytes) -> str:
        request = oss_v2.UploadPartRequest(
            bucket=bucket, key=key, upload_id=upload, part_number=number, body=content
        )
        return str(self._call("upload_part", request).etag).strip('"')

    def upload_part_copy(
        self, source: tuple[str, str], span: tuple[int, int], bucket: str, key: str, upload: str
    ) -> str:
        request = oss_v2.UploadPartCopyRequest(
            bucket=bucket,
            key=key,
            source_bucket=source[0],
            source_key=source[1],
            source_range=f"bytes={span[0]}-{span[1]}",
            upload_id=upload,
            part_number=1,
        )
        return str(self._call("upload_part_copy", request).etag).strip('"')

    def parts(self, bucket: str, key: str, upload: str, most: int = 1000) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        marker = 0
        while True:
            request = oss_v2.ListPartsRequest(
                bucket=bucket,
                key=key,
                upload_id=upload,
                max_parts=most,
                part_number_marker=marker,
            )
            page = self._call("list_parts", request)
            found += [(part.part_number, part.size) for part in page.parts or []]
            if not page.is_truncated:
                return found
            marker = page.next_part_number_marker

    def uploads(self, bucket: str, prefix: str = "", most: int = 1000) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        key_marker = id_marker = None
        while True:
            request = oss_v2.ListMultipartUploadsRequest(
                bucket=bucket,
                prefix=prefix,
                max_uploads=most,
                encoding_type="url",
                key_marker=key_marker,
                upload_id_marker=id_marker,
            )
            page = self._call("list_multipart_uploads", request)
            found += [(one.key, one.upload_id) for one in page.uploads or []]
            if not page.is_truncated:
                return found
            key_marker, id_marker = page.next_key_marker, page.next_upload_id_marker

    def complete(
        self,
        bucket: str,
        key: str,
        upload: str,
        parts: list[tuple[int, str]],
        headers: Headers = NONE,
    ) -> str:
        listed = [oss_v2.UploadPart(part_number=number, etag=etag) for number, etag in parts]
        request = oss_v2.CompleteMultipartUploadRequest(
            bucket=bucket,
            key=key,
            upload_id=upload,
            headers=dict(headers),
            complete_multipart_upload=(
                oss_v2.CompleteMultipartUpload(parts=listed) if parts else None
            ),
        )
        return str(self._call("complete_multipart_upload", request).etag).strip('"')

    def abort(self, bucket: str, key: str, upload: str) -> None:
        request = oss_v2.AbortMultipartUploadRequest(bucket=bucket, key=key, upload_id=upload)
        self._call("abort_multipart_upload", request)


def signed_request(
    oss: FakeOss,
    auth: Any,
    method: str,
    path: tuple[str, str],
    params: Headers = NONE,
    headers: Headers = NONE,
    body: bytes = b"",
) -> requests.Response:
    """Any request, signed by oss2; for those that no client makes."""
    bucket, key = path
    url = "/".join([oss.endpoint, *([bucket] if bucket else []), *([quote(key)] if key else [])])
    request = oss2.http.Request(
        method, url, params=dict(params), headers=dict(headers), region=oss.region, product="oss"
    )
    auth._sign_request(request, bucket, key)
    sent = {name: value for name, value in request.headers.items() if value is not None}
    return requests.request(
        method, url, params=request.params, headers=sent, data=body, timeout=300
    )


def presigned_url(
    oss: FakeOss,
    auth: Any,
    method: str,
    path: tuple[str, str],
    params: Headers = NONE,
    headers: Headers = NONE,
) -> str:
    """Any URL, signed by oss2."""
    bucket, key = path
    url = "/".join([oss.endpoint, *([bucket] if bucket else []), *([quote(key)] if key else [])])
    request = oss2.http.Request(
        method, url, params=dict(params), headers=dict(headers), region=oss.region, product="oss"
    )
    signed: str = auth._sign_url(request, bucket, key, 600)
    return signed


CLIENTS = {
    "oss2-v1": lambda oss, provider: Oss2(oss, provider, "v1"),
    "oss2-v4": lambda oss, provider: Oss2(oss, provider, "v4"),
    "oss-v2-v1": lambda oss, provider: OssV2(oss, provider, "v1", is_async=False),
    "oss-v2-v4": lambda oss, provider: OssV2(oss, provider, "v4", is_async=False),
    "oss-v2-aio": lambda oss, provider: OssV2(oss, provider, "v4", is_async=True),
}
"""How to build each client."""
