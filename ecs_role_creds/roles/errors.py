"""The errors of :mod:`ecs_role_creds.roles`."""

from __future__ import annotations

from ecs_role_creds.roles.sentences import explain

_ABOUT_ALL = (
    "InvalidUser.PassRoleForbidden",
    "InvalidRamRole.",
    "InvalidAccessKeyId.",
    "InvalidSecurityToken.",
    "InvalidTimeStamp.",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "NoCredentials",
)


class RolesError(Exception):
    """Base class of the errors of :mod:`ecs_role_creds.roles`."""


class InputError(RolesError, ValueError):
    """An argument or a setting is invalid. The message says what is allowed."""


class CallError(RolesError):
    """An API call failed.

    Attributes:
        api: The API's name, such as ``"AttachInstanceRamRole"``.
        code: The service's error code; ``"NoAnswer"`` if there was no response, and
            ``"NoCredentials"`` if there were no credentials to sign the call with.
        status: The HTTP status; 0 without a response.
        request_id: For Alibaba Cloud's support; empty without a response.
        subject: What the call was for, such as ``"instance i-bp1example"``.
        message: What the service said, with secrets removed.
    """

    def __init__(
        self,
        api: str,
        code: str,
        *,
        status: int = 0,
        message: str = "",
        request_id: str = "",
        subject: str = "",
    ) -> None:
        self.api = api
        self.code = code
        self.status = status
        self.request_id = request_id
        self.subject = subject
        self.message = message
        super().__init__(explain(code, api=api, subject=subject, message=message))

    def about(self, subject: str) -> CallError:
        """Return a copy of the error with another subject."""
        return CallError(
            self.api,
            self.code,
            status=self.status,
            message=self.message,
            request_id=self.request_id,
            subject=subject,
        )

    @property
    def is_throttling(self) -> bool:
        """Whether the service throttled the call. Such a call has no effect."""
        return self.code.startswith("Throttling") or self.status == 429

    @property
    def is_unanswered(self) -> bool:
        """Whether no answer came."""
        return self.code == "NoAnswer"

    @property
    def is_unclear(self) -> bool:
        """Whether the call may have taken effect."""
        return self.is_unanswered or self.status >= 500

    @property
    def is_about_instance(self) -> bool:
        """Whether the error concerns one instance; the call may succeed for others."""
        return self.code.startswith(
            ("InvalidInstanceId", "InvalidNetworkType.", "InvalidResourceId.")
        )

    @property
    def is_about_all(self) -> bool:
        """Whether every instance would fail: the error concerns the role or the caller."""
        return self.code.startswith(_ABOUT_ALL)


class BlockedPlanError(RolesError):
    """The plan has problems or differences, so nothing was called. The message lists them."""
