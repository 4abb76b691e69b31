"""The message for each error code: what happened, and what to do.

The codes are those that Alibaba Cloud documents for the calls made here (RAM: "Error messages",
doc-detail/28754; ECS: each API's page), those that every API of Alibaba Cloud may return, and
three of our own: ``InstanceHasRole``, ``NoAnswer`` and ``NoCredentials``.
"""

from __future__ import annotations

from collections.abc import Mapping

_ADMINISTRATOR = (
    'The page "Administrator permissions" in the documentation has a policy for each command.'
)

SENTENCES: Mapping[str, str] = {
    # Instances and their roles.
    "InvalidNetworkType.MismatchRamRole": (
        "{subject} is not in a VPC, and only instances in a VPC can have a RAM role. Migrate the "
        "instance to a VPC first."
    ),
    "InvalidUser.PassRoleForbidden": (
        "You need the permission ram:PassRole for the role ({subject}). Ask an administrator to "
        "grant it. " + _ADMINISTRATOR
    ),
    "InvalidRamRole.NotFound": (
        "The role for {subject} does not exist. Check the name with `role list`, or create it with "
        "`role create`."
    ),
    "InvalidRamRole.NotEcsRole": (
        "The role for {subject} cannot be attached, because its trust policy does not name ECS. "
        "Run `role create NAME --replace` to replace the trust policy."
    ),
    "InvalidInstanceIds.Malformed": (
        "ECS rejected the instance ids ({subject}). Check the spelling: an id looks like "
        "i-bp1example."
    ),
    "InvalidInstanceId.NotFound": (
        "{subject} was not found. Check the id and `--region`. You also need permission to see the "
        "instance."
    ),
    "InstanceHasRole": (
        "{subject} already has another role, and an instance can have only one. Use `role change`, "
        "or pass `--replace`."
    ),
    "InvalidHttpEndpoint.NotSupported": (
        "ECS rejected the HttpEndpoint setting of {subject}. The instance may not support metadata "
        "options."
    ),
    "InvalidHttpTokens.NotSupported": (
        "ECS rejected the HttpTokens setting of {subject}. The instance may not support the "
        "security hardening mode."
    ),
    "InvalidHttpPutResponseHopLimit.NotSupported": (
        "ECS rejected the hop limit of {subject}. Set it to a value from 1 to 64 first."
    ),
    "InvalidInstanceMetadataTags.NotSupported": (
        "ECS rejected the metadata tags option of {subject}. Turn the option off first."
    ),
    "InvalidImdsAccessPolicyId.NotFound": (
        "The metadata access policy of {subject} no longer exists. Set another one first."
    ),
    "InvalidRegionId.NotFound": (
        "The region does not exist ({subject}). Check `--region`; an example is cn-hangzhou."
    ),
    "InvalidNetworkType.NotFound": (
        "ECS rejected the network type in the request ({subject}). Please report this as a bug."
    ),
    "InvalidStatus.NotFound": (
        "ECS rejected the instance status in the request ({subject}). Please report this as a bug."
    ),
    "InvalidFilterKey.NotFound": (
        "ECS rejected the filter in the request ({subject}). Please report this as a bug."
    ),
    "InvalidTag.Mismatch": (
        "ECS rejected the tag in the request ({subject}). Please report this as a bug."
    ),
    "InvalidTagCount": (
        "ECS rejected the number of tags in the request ({subject}). Please report this as a bug."
    ),
    "InvalidTagKey.Malformed": (
        "ECS rejected the key of the tag ({subject}). Please report this as a bug."
    ),
    "InvalidTagValue.Malformed": (
        "ECS rejected the role name as the value of a tag ({subject}). Choose another name."
    ),
    "InvalidResourceId.NotFound": (
        "{subject} was not found. Check the id and `--region`. You also need permission to see the "
        "instance."
    ),
    "NumberExceed.Tags": (
        "{subject} already has 20 tags, the maximum. Remove one, or use `role attach`, which adds "
        "no tag."
    ),
    # RAM: names and documents.
    "InvalidParameter.RoleName.InvalidChars": (
        "RAM rejected the role name ({subject}). Use only letters, digits, '.' and '-'."
    ),
    "InvalidParameter.RoleName.Length": (
        "RAM rejected the length of the role name ({subject}). Use 1 to 64 characters."
    ),
    "InvalidParameter.PolicyName.InvalidChars": (
        "RAM rejected the policy name ({subject}). Use only letters, digits and '-'."
    ),
    "InvalidParameter.PolicyName.Length": (
        "RAM rejected the length of the policy name ({subject}). Use 1 to 128 characters."
    ),
    "InvalidParameter.PolicyType": (
        "RAM rejected the policy type ({subject}). Pass `--type System` or `--type Custom`."
    ),
    "InvalidParameter.PolicyDocument.Length": (
        "The policy document is too long ({subject}). Split it into several policies."
    ),
    "InvalidParameter.Description.Length": (
        "The description is longer than 1,024 characters ({subject}). Choose a shorter role name."
    ),
    "InvalidParameter.VersionId.Format": (
        "RAM rejected the version id of the policy ({subject}). Run the command again."
    ),
    "MalformedPolicyDocument": (
        "RAM rejected the policy document ({subject}): {message} Correct the document."
    ),
    # RAM: roles and policies.
    "EntityNotExist.Role": (
        "The role does not exist ({subject}). Check the name with `role list`, or create it with "
        "`role create`."
    ),
    "EntityNotExist.Policy": (
        "The policy does not exist ({subject}). Check the name and `--type`: System for policies "
        "of Alibaba Cloud, Custom for your own."
    ),
    "EntityNotExist.Policy.Version": (
        "This version of the policy no longer exists ({subject}). Run the command again."
    ),
    "EntityNotExist.Role.Policy": (
        "The policy is not attached to the role ({subject}). Run the command again."
    ),
    "EntityAlreadyExists.Role": (
        "Someone else created the role after the plan was made ({subject}). Run the command again "
        "to compare it."
    ),
    "EntityAlreadyExists.Policy": (
        "Someone else created the policy after the plan was made ({subject}). Run the command "
        "again to compare it."
    ),
    "EntityAlreadyExists.Role.Policy": (
        "The policy is already attached to the role ({subject}). You do not need to do anything."
    ),
    "DeleteConflict.Role.Policy": (
        "The role was not deleted because it still has policies ({subject}). Run the command again."
    ),
    "DeleteConflict.Policy.User": (
        "The policy was not deleted because a user still has it ({subject}). Detach it from the "
        "user first."
    ),
    "DeleteConflict.Policy.Group": (
        "The policy was not deleted because a user group still has it ({subject}). Detach it from "
        "the group first."
    ),
    "DeleteConflict.Policy.Role": (
        "The policy was not deleted because another role still has it ({subject}). Detach it from "
        "that role first."
    ),
    "DeleteConflict.Policy.Version": (
        "The policy was not deleted because it still has other versions ({subject}). Run the "
        "command again."
    ),
    "DeleteConflict.Policy.Version.Default": (
        "The default version of a policy cannot be deleted ({subject}). Run the command again."
    ),
    "LimitExceeded.Role": (
        "The account has reached the maximum number of roles ({subject}). Delete one, or ask "
        "Alibaba Cloud for a higher quota."
    ),
    "LimitExceeded.Policy": (
        "The account has reached the maximum number of custom policies ({subject}). Delete one, or "
        "ask Alibaba Cloud for a higher quota."
    ),
    "LimitExceeded.Policy.Version": (
        "The policy already has five versions, the maximum ({subject}). Run the command again: it "
        "deletes the oldest one that is not the default."
    ),
    "LimitExceeded.Role.Policy": (
        "The role has reached the maximum number of policies ({subject}). Detach one with `role "
        "revoke`, or combine several in one document and pass it with `--policy-document`."
    ),
    # The caller.
    "NoPermission": (
        "You are not allowed to call {api} ({subject}). Ask an administrator to grant this "
        "permission. " + _ADMINISTRATOR
    ),
    "Forbidden.RAM": (
        "You are not allowed to call {api} ({subject}). Ask an administrator to grant this "
        "permission. " + _ADMINISTRATOR
    ),
    "Inactive": (
        "RAM is not activated for this account ({subject}). Activate it in the RAM console."
    ),
    "InvalidAccessKeyId.NotFound": (
        "Your AccessKey id does not exist ({subject}). Check the credentials that this command "
        "uses."
    ),
    "InvalidAccessKeyId.Inactive": (
        "Your AccessKey pair is disabled ({subject}). Enable it in the RAM console, or use another "
        "one."
    ),
    "InvalidSecurityToken.Expired": (
        "Your security token has expired ({subject}). Sign in again, then run the command again."
    ),
    "InvalidSecurityToken.Malformed": (
        "Your security token is invalid ({subject}). Sign in again, then run the command again."
    ),
    "InvalidSecurityToken.MismatchWithAccessKey": (
        "Your security token does not match your AccessKey id ({subject}). Use the id, secret and "
        "token of the same sign-in."
    ),
    "SignatureDoesNotMatch": (
        "Your AccessKey secret does not match your AccessKey id ({subject}). Check the credentials "
        "that this command uses."
    ),
    "IncompleteSignature": (
        "The service rejected the signature of the request ({subject}). Update the alibabacloud "
        "packages."
    ),
    "SignatureNonceUsed": (
        "The service received the same request twice ({subject}). Run the command again."
    ),
    "InvalidTimeStamp.Expired": (
        "The clock of this machine is wrong ({subject}). Set it, then run the command again."
    ),
    "NoCredentials": (
        "No credentials to call {api} with: {message} Set ALIBABA_CLOUD_ACCESS_KEY_ID and "
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET, or sign in with the aliyun command, or pass "
        "`--as-instance` on an instance whose role may do this."
    ),
    # The service.
    "Throttling": (
        "Alibaba Cloud throttled every attempt to call {api} ({subject}). Wait a minute, then run "
        "the command again."
    ),
    "Throttling.User": (
        "Alibaba Cloud throttled every attempt to call {api} from this account ({subject}). Wait a "
        "minute, then run the command again."
    ),
    "Throttling.Api": (
        "Alibaba Cloud throttled every attempt to call {api}, for all accounts ({subject}). Wait a "
        "minute, then run the command again."
    ),
    "ServiceUnavailable": (
        "The service is unavailable ({subject}). Wait a minute, then run the command again."
    ),
    "InternalError": (
        "The service returned an internal error ({subject}). The call may have taken effect. Run "
        "the command again; if this continues, open a ticket with Alibaba Cloud."
    ),
    "NoAnswer": (
        "No response to {api} ({subject}): {message} The call may have taken effect. Check the "
        "network and the region, then run the command again."
    ),
    "MissingParameter": (
        "The request to {api} lacks a parameter ({subject}): {message} Please report this as a bug."
    ),
}
"""The messages by code. They may contain ``{api}``, ``{subject}`` and ``{message}``."""

_UNKNOWN = "{api} failed for {subject} with the code {code}: {message}"


def explain(code: str, *, api: str, subject: str = "", message: str = "") -> str:
    """Return the message for an error code. For an unknown code, it is the service's own.

    Args:
        code: The service's error code.
        api: The API that was called.
        subject: What the call was for.
        message: What the service said, with secrets removed.
    """
    sentence = SENTENCES.get(code, _UNKNOWN)
    shown = subject or f"call of {api}"
    told = message.strip() or "no details."
    told = told if told.endswith((".", "!", "?")) else told + "."
    text = sentence.format(api=api, code=code, subject=shown, message=told)
    return text[0].upper() + text[1:]
