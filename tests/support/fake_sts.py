"""A fake of Alibaba Cloud's STS over TLS: AssumeRole, with the signature verified."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

HOST = "sts.aliyuncs.com"


class FakeSts:
    """Issues credentials of roles to one AccessKey pair.

    Args:
        key_id: The pair's id.
        secret: The pair's secret.
        life: The lifetime of the credentials, whatever is requested.
    """

    def __init__(self, key_id: str, secret: str, life: int = 3600) -> None:
        self._key_id = key_id
        self._secret = secret
        self._life = life
        self.requests: list[dict[str, str]] = []
        self.issued: list[list[str]] = []

    def answer(self, query: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        self.requests.append(dict(query))
        given = dict(query)
        signature = given.pop("Signature", "")
        if given.get("AccessKeyId") != self._key_id:
            return 404, {"Code": "InvalidAccessKeyId.NotFound", "Message": "No such AccessKey."}
        if signature != self._signature(given):
            return 400, {"Code": "SignatureDoesNotMatch", "Message": "The signature is wrong."}
        if given["RoleArn"].endswith("/forbidden"):
            return 403, {"Code": "NoPermission", "Message": "You may not assume this role."}
        serial = len(self.issued) + 1
        self.issued.append(
            [f"STS.FAKE{serial:04}", f"fake-secret-{serial:04}", f"fake-security-token-{serial:04}"]
        )
        key_id, secret, token = self.issued[-1]
        expiration = datetime.now(timezone.utc) + timedelta(seconds=self._life)
        return 200, {
            "Credentials": {
                "AccessKeyId": key_id,
                "AccessKeySecret": secret,
                "SecurityToken": token,
                "Expiration": f"{expiration:%Y-%m-%dT%H:%M:%SZ}",
            }
        }

    def _signature(self, query: Mapping[str, str]) -> str:
        """Signature version 1.0, HMAC-SHA1 (documented)."""
        canonical = "&".join(
            f"{quote(name, safe='~')}={quote(value, safe='~')}"
            for name, value in sorted(query.items())
        )
        text = f"GET&%2F&{quote(canonical, safe='~')}"
        digest = hmac.digest(f"{self._secret}&".encode(), text.encode(), hashlib.sha1)
        return base64.b64encode(digest).decode()

    @contextmanager
    def serving(self, certificate: Path, port: int = 443) -> Iterator[None]:
        """Listen on loopback inside the block.

        Args:
            certificate: A PEM file with the certificate for ``HOST`` and its key.
            port: Where.
        """
        sts = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, document = sts.answer(dict(parse_qsl(urlsplit(self.path).query)))
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
