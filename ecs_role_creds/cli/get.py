"""``ecs-role-creds get``: print the credentials in a format for another program."""

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
  json             all parts, the role name and the expiration
  env              shell export lines: eval "$(ecs-role-creds get --format env)"
  dotenv           NAME=VALUE lines, for docker run --env-file and .env files
  role-document    JSON as from the metadata service and ALIBABA_CLOUD_CREDENTIALS_URI
  aliyun-external  JSON for the aliyun CLI, see below
  aws-process      JSON for AWS SDKs and tools, see below
  table            a table to read

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
        "Print the instance RAM role's credentials in a format that another program reads. "
        "Secrets are masked on a terminal, unless --show-secrets is given. They are never masked "
        "in a pipe or a file."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="json",
        help="the output format, see below (default: %(default)s)",
    )
    parser.add_argument(
        "--aws",
        action="store_true",
        help="with --format env or dotenv: add the variables of AWS SDKs (AWS_ACCESS_KEY_ID, ...)",
    )
    parser.add_argument(
        "--show-secrets", action="store_true", help="do not mask secrets on a terminal"
    )
    add_provider_options(parser)
    parser.set_defaults(run=reporting_errors("get", run))


def run(arguments: argparse.Namespace) -> int:
    """Fetch and print the credentials; returns the exit status."""
    if arguments.aws and arguments.format not in ("env", "dotenv"):
        tell("get", "--aws needs --format env or --format dotenv")
        return 2
    credentials = build_provider(arguments).get_credentials()
    is_masked = sys.stdout.isatty() and not arguments.show_secrets
    print(render(credentials, arguments.format, aws=arguments.aws, is_masked=is_masked), flush=True)
    if is_masked:
        tell("get", "secrets are masked on a terminal; pass --show-secrets to print them")
    return 0


def render(
    credentials: Credentials, form: str, *, aws: bool = False, is_masked: bool = False
) -> str:
    """Return the credentials as text.

    Args:
        credentials: What to print.
        form: One of :data:`FORMATS`.
        aws: Whether ``env`` and ``dotenv`` include the variables of AWS SDKs.
        is_masked: Whether to mask the secrets.
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
    """Return a copy with AccessKey secret and security token masked."""
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
            ("Valid for", life(credentials.expires_in())),
        ]
    )


def _lines(variables: Mapping[str, str], line: Callable[[str, str], str]) -> str:
    return "\n".join(line(name, value) for name, value in variables.items())


def _shell(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _dotenv(name: str, value: str) -> str:
    # docker keeps quotes as part of the value; .env parsers need them for special characters only.
    if _NEEDS_NO_QUOTES.fullmatch(value):
        return f"{name}={value}"
    return f"{name}={shlex.quote(value)}"
