"""DeleteObject and DeleteMultipleObjects."""

from __future__ import annotations

from urllib.parse import unquote

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.errors import malformed_xml
from ecs_role_creds.testing.oss.listing import names_shown
from ecs_role_creds.testing.oss.names import check_key
from ecs_role_creds.testing.oss.operations import Call, Operation
from ecs_role_creds.testing.oss.xml import element, parse, text, xml_response

_MAX_KEYS = 1000  # documented


def delete_object(call: Call) -> Response:
    """Delete an object. There is no error if it does not exist."""
    call.bucket.pop(call.key, None)
    return Response(204)


def delete_multiple_objects(call: Call) -> Response:
    """Delete up to 1,000 objects. A verbose response lists them, a quiet one is empty."""
    bucket, shown = call.bucket, names_shown(call)
    keys, is_quiet = _read_keys(call.body)
    if call.is_url_encoded():
        keys = [unquote(key) for key in keys]
    for key in keys:
        check_key(key)
        call.require("oss:DeleteObject", "write", bucket.name, key)
    for key in keys:
        bucket.pop(key, None)
    if is_quiet:
        return Response(200)
    return xml_response(
        "DeleteResult",
        *([text("EncodingType", "url")] if call.is_url_encoded() else []),
        *(element("Deleted", text("Key", shown(key))) for key in keys),
    )


def _read_keys(body: bytes) -> tuple[list[str], bool]:
    root = parse(body, "Delete")
    if root is None:
        raise malformed_xml("the root node is not named Delete.", "0016-00000608")
    keys = []
    for node in root.findall("Object"):
        if unknown := [child.tag for child in node if child.tag != "Key"]:
            raise malformed_xml(f"FakeOss does not know the node {unknown[0]}: no versions here.")
        keys.append(node.findtext("Key") or "")
    if not 1 <= len(keys) <= _MAX_KEYS:
        raise malformed_xml(f"there must be 1 to {_MAX_KEYS} Object nodes.")
    return keys, (root.findtext("Quiet") or "false").lower() == "true"


OPERATIONS = (
    Operation("DeleteObject", "DELETE", "object", delete_object, "oss:DeleteObject", "write"),
    Operation(
        "DeleteMultipleObjects",
        "POST",
        "bucket",
        delete_multiple_objects,
        "oss:DeleteObject",
        "write",
        selectors=frozenset({"delete"}),
        parameters=frozenset({"encoding-type"}),
    ),
)
