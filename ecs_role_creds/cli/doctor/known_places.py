"""Variables and files from which other programs read AccessKey pairs.

From the documentation and source code of these programs. To have doctor look at one more place, add
a row.
"""

from __future__ import annotations

from typing import NamedTuple


class KeyVariables(NamedTuple):
    """Environment variables that together hold a program's credentials.

    Attributes:
        names: The variables. All must be set.
        read_by: The programs that prefer them to the instance RAM role.
    """

    names: tuple[str, ...]
    read_by: str


class KeyFile(NamedTuple):
    """A file that may contain a program's AccessKey pair.

    Attributes:
        path: The file; ``~/`` is the home directory.
        read_by: The programs that read it.
    """

    path: str
    read_by: str


KEY_VARIABLES = (
    KeyVariables(
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
        "the default chain of alibabacloud-credentials, the aliyun CLI and Terraform",
    ),
    KeyVariables(
        ("ALIBABA_CLOUD_ROLE_ARN", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
         "ALIBABA_CLOUD_OIDC_TOKEN_FILE"),
        "the default chain of alibabacloud-credentials (RRSA on ACK)",
    ),
    KeyVariables(
        ("ALIBABACLOUD_ACCESS_KEY_ID", "ALIBABACLOUD_ACCESS_KEY_SECRET"), "the aliyun CLI"
    ),
    KeyVariables(("ALICLOUD_ACCESS_KEY_ID", "ALICLOUD_ACCESS_KEY_SECRET"), "the aliyun CLI"),
    KeyVariables(("ACCESS_KEY_ID", "ACCESS_KEY_SECRET"), "the aliyun CLI"),
    KeyVariables(("ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY"), "Terraform and Packer"),
    KeyVariables(
        ("ALIYUN_ACCESS_KEY_ID", "ALIYUN_ACCESS_KEY_SECRET"), "many samples and older tools"
    ),
    KeyVariables(
        ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"),
        "ossutil and the environment providers of oss2 and alibabacloud-oss-v2",
    ),
    KeyVariables(("ODPS_ACCESS_ID", "ODPS_ACCESS_KEY"), "MaxCompute tools"),
    KeyVariables(
        ("ALIYUN_LOG_CLI_ACCESSID", "ALIYUN_LOG_CLI_ACCESSKEY"), "the Simple Log Service CLI"
    ),
)  # fmt: skip

CREDENTIALS_FILE = "ALIBABA_CLOUD_CREDENTIALS_FILE"
"""The variable with the path of a profile file for alibabacloud-credentials."""

KEY_FILES = (
    KeyFile("~/.aliyun/config.json", "the aliyun CLI and alibabacloud-credentials"),
    KeyFile("~/.alibabacloud/credentials.ini", "alibabacloud-credentials for Python"),
    KeyFile("~/.alibabacloud/credentials", "alibabacloud-credentials for Java, Go and Node.js"),
    KeyFile("~/.ossutilconfig", "ossutil"),
    KeyFile("~/.aliyuncli/credentials", "the former aliyuncli"),
    KeyFile("~/.osscredentials", "osscmd"),
    KeyFile("~/.aliyunlogcli", "the Simple Log Service CLI"),
    KeyFile("~/.fcli/config.yaml", "the Function Compute tools fcli and fun"),
    KeyFile("~/.s/access.yaml", "Serverless Devs"),
    KeyFile("~/.passwd-ossfs", "ossfs"),
    KeyFile("/etc/passwd-ossfs", "ossfs"),
    KeyFile("~/.config/rclone/rclone.conf", "rclone"),
    KeyFile("~/.s3cfg", "s3cmd"),
    KeyFile("~/.aws/credentials", "AWS tools"),
    KeyFile("~/.aws/config", "AWS tools"),
)
