"""AppendObject."""

from __future__ import annotations

from dataclasses import replace

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.errors import RefusedError
from ecs_role_creds.testing.oss.names import integer_of
from ecs_role_creds.testing.oss.operations import Call, Operation
from ecs_role_creds.testing.oss.writing import checksums, draft_of


def append_object(call: Call) -> Response:
    """Append the body to an object, or create one. The position must be the object's length."""
    given = call.parameter("position", "0016-00000501")
    position = integer_of("position", given, 0, 2**63 - 1, 0)
    known = call.bucket.get(call.key)
    draft = replace(draft_of(call), kind="Appendable") if known is None else known
    if draft.kind != "Appendable":
        raise RefusedError(409, "ObjectNotAppendable", "The object is not appendable.")
    if position != len(draft.content):
        raise RefusedError(
            409,
            "PositionNotEqualToLength",
            "Position is not equal to file length.",
            "0026-00000016",
            headers={
                "x-oss-next-append-position": str(len(draft.content)),
                "x-oss-hash-crc64ecma": str(draft.crc64),
            },
        )
    content = draft.content + call.body
    stored = replace(draft, content=content, stored_at=call.now)
    call.bucket[call.key] = stored
    return Response(
        200, b"", {**checksums(stored), "x-oss-next-append-position": str(len(content))}
    )


OPERATIONS = (
    Operation(
        "AppendObject",
        "POST",
        "object",
        append_object,
        "oss:PutObject",
        "write",
        selectors=frozenset({"append"}),
        parameters=frozenset({"position"}),
        headers=frozenset(
            {"x-oss-meta-*", "x-oss-object-acl", "x-oss-storage-class", "x-oss-tagging"}
        ),
        stores_body=True,
    ),
)
