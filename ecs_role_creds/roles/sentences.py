"""A sentence for each error code: what happened, to what, and what to do.

The codes are those that Alibaba Cloud documents for the calls made here (RAM: "Error messages",
doc-detail/28754; ECS: each API's page), those that every API of Alibaba Cloud may answer with, and
one of ours, ``NoAnswer``.
"""

from __future__ import annotations

from collections.abc import Mapping

_ADMINISTRATOR = "See the page on the administrator's permissions for a policy that has it."

SENTENCES: Mapping[str, str] = {
    # The guide's limits.
    "InvalidNetworkType.MismatchRamRole": (
        "{subject} is not in a VPC. Only instances in a VPC can have a RAM role: move it to a VPC."
    ),
    "InvalidUser.PassRoleForbidden": (
        "You are not allowed to hand this role to an instance ({subject}). Ask for ram:PassRole on "
        "the role. " + _ADMINISTRATOR
    ),
    "InvalidRamRole.NotFound": (
        "The role for {subject} does not exist. Check the name with `role list`, or create it with "
        "`role create`."
    ),
    "InvalidRamRole.NotEcsRole": (
        "The role for {subject} does not trust ECS, so no instance can have it. Give it the trust "
        "policy with `role create NAME --replace`."
    ),
    "InvalidInstanceIds.Malformed": (
        "ECS does not accept the instance ids ({subject}). Check the spelling: an id looks like "
        "i-bp1example."
    ),
    "InvalidInstanceId.NotFound": (
        "{subject} was not found. Check the id and --region; you also need permission to see the "
        "instance."
    ),
    "InstanceHasRole": (
        "{subject} has another role already, and an instance can have only one. Use `role change`."
    ),
    "InvalidHttpEndpoint.NotSupported": (
        "ECS does not accept this HttpEndpoint for {subject}. The instance may not support "
        "metadata options."
    ),
    "InvalidHttpTokens.NotSupported": (
        "ECS does not accept this HttpTokens for {subject}. The instance may not support the "
        "security hardening mode."
    ),
    "InvalidHttpPutResponseHopLimit.NotSupported": (
        "ECS does not accept the hop limit of {subject}. Set it to 1 to 64 first."
    ),
    "InvalidInstanceMetadataTags.NotSupported": (
        "ECS does not accept the metadata tags option of {subject}. Switch it off first."
    ),
    "InvalidImdsAccessPolicyId.NotFound": (
        "The metadata access policy of {subject} no longer exists. Set another one first."
    ),
    "InvalidRegionId.NotFound": (
        "There is no such region. Check --region, such as cn-hangzhou ({subject})."
    ),
    "InvalidNetworkType.NotFound": "ECS does not know the network type asked for ({subject}).",
    "InvalidStatus.NotFound": "ECS does not know the instance status asked for ({subject}).",
    "InvalidFilterKey.NotFound": "ECS does not know the filter asked for ({subject}).",
    "InvalidTag.Mismatch": "ECS does not accept the tag asked for ({subject}).",
    "InvalidTagCount": "ECS allows fewer tags in one call than were sent ({subject}).",
    "InvalidTagKey.Malformed": "ECS does not accept the tag's key ({subject}).",
    "InvalidTagValue.Malformed": (
        "ECS does not accept the role's name as a tag's value ({subject}). Choose another name."
    ),
    "InvalidResourceId.NotFound": (
        "{subject} was not found. Check the id and --region; you also need permission to see the "
        "instance."
    ),
    "NumberExceed.Tags": (
        "{subject} has the most tags that an instance can have (20). Remove one, or use `role "
        "attach`, which sets no tag."
    ),
    # RAM: the names and documents.
    "InvalidParameter.RoleName.InvalidChars": (
        "RAM does not accept the role's name ({subject}): letters, digits, '.' and '-' only."
    ),
    "InvalidParameter.RoleName.Length": (
        "RAM does not accept the role's name ({subject}): it has 1 to 64 characters."
    ),
    "InvalidParameter.PolicyName.InvalidChars": (
        "RAM does not accept the policy's name ({subject}): letters, digits and '-' only."
    ),
    "InvalidParameter.PolicyName.Length": (
        "RAM does not accept the policy's name ({subject}): it has 1 to 128 characters."
    ),
    "InvalidParameter.PolicyType": (
        "RAM does not accept the policy's type ({subject}): pass --type System or --type Custom."
    ),
    "InvalidParameter.PolicyDocument.Length": (
        "The policy document is too long ({subject}). Split it into several policies."
    ),
    "InvalidParameter.Description.Length": (
        "The description is too long ({subject}): it has at most 1,024 characters."
    ),
    "InvalidParameter.VersionId.Format": (
        "RAM does not accept the version of the policy ({subject}). Run the command again."
    ),
    "MalformedPolicyDocument": (
        "RAM does not accept the policy document ({subject}): {message} Correct the document."
    ),
    # RAM: what is there, and what is not.
    "EntityNotExist.Role": (
        "The role does not exist ({subject}). Check the name with `role list`, or create it with "
        "`role create`."
    ),
    "EntityNotExist.Policy": (
        "The policy does not exist ({subject}). Check the name and --type: Alibaba Cloud's own "
        "policies are of the type System."
    ),
    "EntityNotExist.Policy.Version": (
        "This version of the policy no longer exists ({subject}). Run the command again."
    ),
    "EntityNotExist.Role.Policy": (
        "The policy is not attached to the role ({subject}). Run the command again."
    ),
    "EntityAlreadyExists.Role": (
        "The role was created by somebody else since the plan was made ({subject}). Run the "
        "command again to see how it differs."
    ),
    "EntityAlreadyExists.Policy": (
        "The policy was created by somebody else since the plan was made ({subject}). Run the "
        "command again to see how it differs."
    ),
    "EntityAlreadyExists.Role.Policy": (
        "The policy is attached to the role already ({subject}). Nothing needs to be done."
    ),
    "DeleteConflict.Role.Policy": (
        "The role still has policies, so it was not deleted ({subject}). Run the command again."
    ),
    "DeleteConflict.Policy.User": (
        "The policy is attached to a user, so it was not deleted ({subject}). Detach it there "
        "first."
    ),
    "DeleteConflict.Policy.Group": (
        "The policy is attached to a user group, so it was not deleted ({subject}). Detach it "
        "there first."
    ),
    "DeleteConflict.Policy.Role": (
        "The policy is attached to another role, so it was not deleted ({subject}). Detach it "
        "there first."
    ),
    "DeleteConflict.Policy.Version": (
        "The policy still has other versions, so it was not deleted ({subject}). Run the command "
        "again."
    ),
    "DeleteConflict.Policy.Version.Default": (
        "The default version of a policy cannot be deleted ({subject}). Run the command again."
    ),
    "LimitExceeded.Role": (
        "The account has as many roles as it may have ({subject}). Delete one, or ask Alibaba "
        "Cloud for a higher quota."
    ),
    "LimitExceeded.Policy": (
        "The account has as many custom policies as it may have ({subject}). Delete one, or ask "
        "Alibaba Cloud for a higher quota."
    ),
    "LimitExceeded.Policy.Version": (
        "The policy has five versions, the most there can be ({subject}). Run the command again: "
        "it deletes the oldest."
    ),
    "LimitExceeded.Role.Policy": (
        "The role has as many policies as it may have ({subject}). Detach one with `role revoke`, "
        "or put several into one with --policy-document."
    ),
    # Who asks.
    "NoPermission": (
        "You are not allowed to call {api} ({subject}). Ask for that permission. " + _ADMINISTRATOR
    ),
    "Forbidden.RAM": (
        "You are not allowed to call {api} ({subject}). Ask for that permission. " + _ADMINISTRATOR
    ),
    "Inactive": "RAM is not active in this account ({subject}). Activate it in the RAM console.",
    "InvalidAccessKeyId.NotFound": (
        "Your AccessKey id does not exist ({subject}). Check the credentials that this command "
        "uses."
    ),
    "InvalidAccessKeyId.Inactive": (
        "Your AccessKey pair is disabled ({subject}). Enable it in the RAM console, or use another."
    ),
    "InvalidSecurityToken.Expired": (
        "Your security token has expired ({subject}). Sign in again, then run the command again."
    ),
    "InvalidSecurityToken.Malformed": (
        "Your security token is not valid ({subject}). Sign in again, then run the command again."
    ),
    "InvalidSecurityToken.MismatchWithAccessKey": (
        "Your security token does not belong to your AccessKey id ({subject}). Take both from one "
        "sign-in."
    ),
    "SignatureDoesNotMatch": (
        "Your AccessKey secret does not belong to your AccessKey id ({subject}). Check the "
        "credentials that this command uses."
    ),
    "IncompleteSignature": (
        "The service does not accept the request's signature ({subject}). Update the alibabacloud "
        "packages."
    ),
    "SignatureNonceUsed": "The service has seen this request before ({subject}). Run it again.",
    "InvalidTimeStamp.Expired": (
        "The clock of this machine is wrong ({subject}). Set it, then run the command again."
    ),
    "NoCredentials": (
        "There are no credentials to call {api} with: {message} Set up the administrator's "
        "credentials, or pass --as-instance on an instance whose role may do this."
    ),
    # The service.
    "Throttling": (
        "Too many calls of {api} ({subject}): it was tried several times. Wait a minute, then run "
        "the command again."
    ),
    "Throttling.User": (
        "Too many calls of {api} in this account ({subject}): it was tried several times. Wait a "
        "minute, then run the command again."
    ),
    "Throttling.Api": (
        "Too many calls of {api} by everybody ({subject}): it was tried several times. Wait a "
        "minute, then run the command again."
    ),
    "ServiceUnavailable": (
        "The service is not available ({subject}). Wait a minute, then run the command again."
    ),
    "InternalError": (
        "The service failed ({subject}), and the call may have had an effect all the same. Run the "
        "command again; if this continues, open a ticket with Alibaba Cloud."
    ),
    "NoAnswer": (
        "No answer to {api} ({subject}): {message} The call may have had an effect all the same. "
        "Check the network and the region, then run the command again."
    ),
    "MissingParameter": "The service misses a parameter of {api} ({subject}): {message}",
}
"""By code. May hold ``{api}``, ``{subject}`` and ``{message}``."""

_UNKNOWN = "{api} failed for {subject} with the code {code}: {message}"


def explain(code: str, *, api: str, subject: str = "", message: str = "") -> str:
    """The sentence for a code; for one that is not known, what the service says.

    Args:
        code: The service's code.
        api: The API that was called.
        subject: What it was about.
        message: What the service said, free of secrets.
    """
    sentence = SENTENCES.get(code, _UNKNOWN)
    shown = subject or f"call of {api}"
    told = message.strip() or "no details."
    told = told if told.endswith((".", "!", "?")) else told + "."
    text = sentence.format(api=api, code=code, subject=shown, message=told)
    return text[0].upper() + text[1:]
