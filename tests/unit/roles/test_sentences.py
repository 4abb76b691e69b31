"""The sentences of the error codes, and the page that lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecs_role_creds.roles.sentences import SENTENCES, explain

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "role-commands.md"

# Documented for the calls that are made: RAM's by doc-detail/28754 and the APIs' pages, ECS's by
# the APIs' pages.
DOCUMENTED = [
    "MalformedPolicyDocument",
    "NoPermission",
    "Inactive",
    "InternalError",
    "InvalidParameter.RoleName.InvalidChars",
    "InvalidParameter.RoleName.Length",
    "InvalidParameter.PolicyName.InvalidChars",
    "InvalidParameter.PolicyName.Length",
    "InvalidParameter.PolicyType",
    "InvalidParameter.PolicyDocument.Length",
    "InvalidParameter.Description.Length",
    "InvalidParameter.VersionId.Format",
    "EntityNotExist.Role",
    "EntityNotExist.Policy",
    "EntityNotExist.Policy.Version",
    "EntityNotExist.Role.Policy",
    "EntityAlreadyExists.Role",
    "EntityAlreadyExists.Policy",
    "EntityAlreadyExists.Role.Policy",
    "DeleteConflict.Role.Policy",
    "DeleteConflict.Policy.User",
    "DeleteConflict.Policy.Group",
    "DeleteConflict.Policy.Version",
    "DeleteConflict.Policy.Version.Default",
    "LimitExceeded.Role",
    "LimitExceeded.Policy",
    "LimitExceeded.Policy.Version",
    "LimitExceeded.Role.Policy",
    "InvalidInstanceIds.Malformed",
    "InvalidInstanceId.NotFound",
    "InvalidNetworkType.MismatchRamRole",
    "InvalidUser.PassRoleForbidden",
    "InvalidRamRole.NotFound",
    "InvalidRamRole.NotEcsRole",
    "InvalidHttpEndpoint.NotSupported",
    "InvalidHttpTokens.NotSupported",
    "InvalidHttpPutResponseHopLimit.NotSupported",
    "InvalidInstanceMetadataTags.NotSupported",
    "InvalidImdsAccessPolicyId.NotFound",
    "InvalidNetworkType.NotFound",
    "InvalidStatus.NotFound",
    "InvalidFilterKey.NotFound",
    "InvalidTag.Mismatch",
    "InvalidTagCount",
    "NumberExceed.Tags",
]


@pytest.mark.parametrize("code", DOCUMENTED)
def test_every_documented_code_has_a_sentence(code: str) -> None:
    assert code in SENTENCES


@pytest.mark.parametrize("code", SENTENCES)
def test_the_reference_has_the_sentence(code: str) -> None:
    sentence = SENTENCES[code].format(api="*API*", subject="*subject*", message="*details*")
    assert f"| `{code}` | {sentence[0].upper()}{sentence[1:]} |" in PAGE.read_text("utf-8")


def test_a_code_that_is_not_known_is_told_with_what_the_service_says() -> None:
    told = explain("New.Code", api="CreateRole", subject="role app", message="Something new")
    assert told == "CreateRole failed for role app with the code New.Code: Something new."


def test_without_details() -> None:
    told = explain("New.Code", api="CreateRole")
    assert told == "CreateRole failed for call of CreateRole with the code New.Code: no details."
