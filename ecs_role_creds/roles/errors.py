"""What can go wrong while a role is managed."""

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
    """Base of the errors of :mod:`ecs_role_creds.roles`."""


class InputError(RolesError, ValueError):
    """An argument or a setting cannot be used; the message says what can."""


class CallError(RolesError):
    """An API call failed.

    Attributes:
        api: The API's name, such as ``"AttachInstanceRamRole"``.
        code: The service's code; ``"NoAnswer"`` where none came.
        status: The HTTP status; 0 where no answer came.
        request_id: For Alibaba Cloud's support; empty where no answer came.
        subject: What the call was about, such as ``"instance i-bp1example"``.
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
        """The same failure, told of a subject."""
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
        """Whether the call was refused for being one too many: it has had no effect."""
        return self.code.startswith("Throttling") or self.status == 429

    @property
    def is_unanswered(self) -> bool:
        """Whether no answer came."""
        return self.code == "NoAnswer"

    @property
    def is_unclear(self) -> bool:
        """Whether the call may have had an effect all the same."""
        return self.is_unanswered or self.status >= 500

    @property
    def is_about_instance(self) -> bool:
        """Whether another instance might not have failed."""
        return self.code.startswith(
            ("InvalidInstanceId", "InvalidNetworkType.", "InvalidResourceId.")
        )

    @property
    def is_about_all(self) -> bool:
        """Whether every instance would fail in the same way: it is the role, or the caller."""
        return self.code.startswith(_ABOUT_ALL)


class BlockedPlanError(RolesError):
    """The plan cannot be carried out as it is; the message says why."""
