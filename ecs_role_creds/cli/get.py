"""``ecs-role-creds get``: print the credentials in the form that another program reads."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ecs_role_creds.cli.provider_options import (
    add_provider_options,
    build_provider,
    life,
    reporting_errors,
    tell,
)

if TYPE_CHECKING:
    from ecs_role_creds import Credentials

FORMATS = (
    "json",
    "env",
    "dotenv",
    "role-document",
    "aliyun-external",
    "aws-process",
    "table",
)

EPILOG = """\
Formats:
  json             every part, with the role and the expiration
  env              export lines for a shell: eval "$(ecs-role-creds get --format env)"
  dotenv           NAME=VALUE lines, for docker run --env-file and .env files
  role-document    the JSON of the metadata service and of ALIBABA_CLOUD_CREDENTIALS_URI
  aliyun-external  for the aliyun CLI
  aws-process      for AWS SDKs and tools
  table            for people

aliyun CLI, in the list "profiles" of ~/.aliyun/config.json:
  {"name": "ecs", "mode": "External", "region_id": "cn-hangzhou",
   "process_command": "ecs-role-creds get --format aliyun-external"}

AWS SDKs and tools, in ~/.aws/config:
  [profile oss]
  credential_process = ecs-role-creds get --format aws-process

Examples:
  $ ecs-role-creds get --format table
  $ ecs-role-creds get | jq -r .expiration
"""

_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9+/=._:@%,-]*")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Print the credentials of the instance's RAM role, in the form that another program "
        "reads. On a terminal, secrets are masked unless --show-secrets is given. A pipe or a "
        "file gets them whole."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "--format", choices=FORMATS, default="json", help="see below (default: %(default)s)"
    )
    parser.add_argument(
        "--aws",
        action="store_true",
        help="with env and dotenv: also the variables of AWS SDKs (AWS_ACCESS_KEY_ID, ...)",
    )
    parser.add_argument(
        "--show-secrets", action="store_true", help="print secrets on a terminal, too"
    )
    add_provider_options(parser)
    parser.set_defaults(run=reporting_errors("get", run))


def run(arguments: argparse.Namespace) -> int:
    """Fetch and print."""
    if arguments.aws and arguments.format not in ("env", "dotenv"):
        tell("get", "--aws goes with --format env or dotenv")
        return 2
    credentials = build_provider(arguments).get_credentials()
    is_masked = sys.stdout.isatty() and not arguments.show_secrets
    print(render(credentials, arguments.format, aws=arguments.aws, is_masked=is_masked), flush=True)
    if is_masked:
        tell("get", "secrets are masked on a terminal; --show-secrets prints them")
    return 0


def render(
    credentials: Credentials, form: str, *, aws: bool = False, is_masked: bool = False
) -> str:
    """The credentials as text.

    Args:
        credentials: What to print.
        form: One of :data:`FORMATS`.
        aws: Whether ``env`` and ``dotenv`` hold the variables of AWS SDKs, too.
        is_masked: Whether to print a mask in place of the secrets.
    """
    from ecs_role_creds.adapters import generic

    if is_masked:
        credentials = masked(credentials)
    if form in ("env", "dotenv"):
        variables = generic.credentials_environment(credentials)
        if aws:
            variables |= generic.aws_environment(credentials)
        return _lines(variables, _shell if form == "env" else _dotenv)
    if form == "table":
        return _table(credentials)
    documents: dict[str, Callable[[Credentials], Mapping[str, Any]]] = {
        "json": _own_document,
        "role-document": generic.credentials_document,
        "aliyun-external": generic.aliyun_external_document,
        "aws-process": generic.aws_process_document,
    }
    return json.dumps(documents[form](credentials), indent=2)


def masked(credentials: Credentials) -> Credentials:
    """The same with a mask in place of AccessKey secret and security token."""
    from ecs_role_creds import Credentials
    from ecs_role_creds.cli.output import mask

    return Credentials(
        credentials.access_key_id,
        mask(credentials.access_key_secret),
        mask(credentials.security_token),
        credentials.expiration,
        credentials.role_name,
    )


def _own_document(credentials: Credentials) -> dict[str, str | None]:
    return {
        "access_key_id": credentials.access_key_id,
        "access_key_secret": credentials.access_key_secret,
        "security_token": credentials.security_token,
        "expiration": credentials.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "role_name": credentials.role_name,
    }


def _table(credentials: Credentials) -> str:
    from ecs_role_creds.cli.output import table

    return table(
        [
            ("Role", credentials.role_name or ""),
            ("AccessKey id", credentials.access_key_id),
            ("AccessKey secret", credentials.access_key_secret),
            ("Security token", credentials.security_token),
            ("Expires", f"{credentials.expiration:%Y-%m-%d %H:%M:%S} UTC"),
            ("Life left", life(credentials.expires_in())),
        ]
    )


def _lines(variables: Mapping[str, str], line: Callable[[str, str], str]) -> str:
    return "\n".join(line(name, value) for name, value in variables.items())


def _shell(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _dotenv(name: str, value: str) -> str:
    # docker takes quotes literally, and .env parsers need them for odd characters only.
    if _NEEDS_NO_QUOTES.fullmatch(value):
        return f"{name}={value}"
    return f"{name}={shlex.quote(value)}"
