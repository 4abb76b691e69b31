"""The fault controls of the fake OSS, with errors in the format of OSS."""

from __future__ import annotations

import re

from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.faults import Faults, retry_after_header
from ecs_role_creds.testing.oss.errors import RefusedError, error_response
from ecs_role_creds.testing.oss.table import KINDS

_CODES = {
    400: "InvalidArgument",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "OperationConflict",
    500: "InternalError",
    503: "ServiceUnavailable",
}
_CODE = re.compile(rb"<Code>(\w+)</Code>")


class OssFaults(Faults[str]):
    """The fault controls of a fake OSS.

    ``on`` is the name of an operation: ``"get-object"``, ``"upload-part"``, ... A request that
    fails, or whose connection is reset, is not carried out: nothing is stored. A request that is
    delayed is carried out.
    """

    fault_kinds = KINDS

    def fail(
        self,
        status: int,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        times: int | None = None,
        on: str | None = None,
    ) -> None:
        """Return an error and do not carry out the request.

        >>> from ecs_role_creds.testing import FakeOss
        >>> with FakeOss(ecs_metadata) as oss:
        ...     oss.fail(500, times=2, on="put-object")

        Args:
            status: The HTTP status, 300 to 599.
            code: The error code of OSS; by default, the usual one for the status.
            retry_after: Whole seconds for the ``Retry-After`` header.
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        if not 300 <= status <= 599:
            raise ValueError(f"status is {status}; pass 300 to 599, or call answer()")
        refusal = RefusedError(
            status,
            code or _CODES.get(status, "FakeFailure"),
            "A failure that the test asked for.",
            headers=retry_after_header(retry_after),
        )

        def change(request: Request, response: Response) -> Response:
            request_id = response.headers["x-oss-request-id"]
            failed = error_response(refusal, request_id, request.headers.get("host", ""))
            return response._replace(
                status=failed.status,
                body=failed.body,
                headers={**response.headers, **failed.headers},
            )

        self._add(change, times, on, replaces_work=True)

    def throttle(
        self, retry_after: float = 1.0, *, times: int | None = None, on: str | None = None
    ) -> None:
        """Return 503 ``TotalQpsLimitExceeded`` with ``Retry-After`` (the header is inferred).

        >>> from ecs_role_creds.testing import FakeOss
        >>> with FakeOss(ecs_metadata) as oss:
        ...     oss.throttle(retry_after=2, times=1)

        Args:
            retry_after: Whole seconds for the ``Retry-After`` header.
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        self.fail(503, code="TotalQpsLimitExceeded", retry_after=retry_after, times=times, on=on)


def code_in(response: Response) -> str | None:
    """Return the error code in the body of an error."""
    match = _CODE.search(response.body) if response.status >= 300 else None
    return match[1].decode() if match else None
