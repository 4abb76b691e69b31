"""Never run: pins the public types for users' type checkers."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime

from ecs_role_creds import (
    Credentials,
    CredentialsError,
    EcsRamRoleCredentialsProvider,
    ProviderStatus,
    default_provider,
    get_credentials,
)
from ecs_role_creds.adapters.generic import credentials_environment, credentials_tuple
from ecs_role_creds.adapters.oss2 import OssCredentialsProvider
from ecs_role_creds.errors import MetadataServiceError, RoleMismatchError
from ecs_role_creds.roles import Outcome, Plan, RoleManager, connect, oss_policy
from ecs_role_creds.testing import (
    FakeMetadataServer,
    FakeOpenApi,
    FakeOss,
    IssuedCredentials,
    VirtualClock,
    forget_credentials,
)

provider = EcsRamRoleCredentialsProvider()
pinned: EcsRamRoleCredentialsProvider = EcsRamRoleCredentialsProvider(
    "app-role", endpoint="http://127.0.0.1:1", deadline=1, disable_imds_v1=True
)

credentials: Credentials = provider.get_credentials()
credentials = provider.get_credential()
credentials = provider.refresh()
credentials = get_credentials()
credentials = default_provider().get_credentials()
key_id: str = credentials.access_key_id
key_id = credentials.get_access_key_id()
expiration: datetime = credentials.expiration
left: float = credentials.expires_in()
role: str | None = credentials.role_name

status: ProviderStatus = provider.status()
failure: str | None = status.last_failure

with provider.polling() as polled:
    credentials = polled.get_credentials()


async def asynchronously() -> Credentials:
    waiting: Awaitable[Credentials] = provider.get_credentials_async()
    await waiting
    return await provider.get_credential_async()


try:
    provider.invalidate(credentials)
except RoleMismatchError as mismatch:
    attached: str | None = mismatch.attached
except MetadataServiceError as trouble:
    http_status: int = trouble.status
except CredentialsError as error:
    retry_after: float | None = error.retry_after

parts: tuple[str, str, str] = credentials_tuple(provider)
environment: dict[str, str] = credentials_environment()
credentials = OssCredentialsProvider(provider).get_credentials()

with FakeMetadataServer(life=60, clock=VirtualClock()) as server, FakeOss(server, ["a"]) as oss:
    issued: IssuedCredentials = server.rotate()
    endpoint: str = oss.endpoint
    server.advance(60)
forget_credentials()

role_plan: Plan = RoleManager(connect(region="cn-hangzhou")).plan_setup(
    "example-role", "example-bucket", ["read", "list"], ["i-bp1example"], prefix="photos/"
)
role_outcome: Outcome = RoleManager(connect(as_instance=True)).apply(role_plan)
failed: tuple[str, ...] = tuple(one.message for one in role_outcome.failures)
policy_document: dict[str, object] = oss_policy("example-bucket", ["write"])
with FakeOpenApi() as openapi:
    openapi.add_instance("i-bp1example", region_id="cn-hangzhou", metadata=FakeMetadataServer())
    is_allowed: bool = openapi.allows("app-role", "oss:GetObject", "acs:oss:*:*:bucket/key")
    FakeOss(FakeMetadataServer(), policies=openapi)
