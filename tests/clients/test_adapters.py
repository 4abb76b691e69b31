"""What every adapter does alike."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from ecs_role_creds.testing import FakeMetadataServer

# The module, what it imports, and the extra that brings it.
ADAPTERS = [
    ("aiobotocore", "aiobotocore", "s3fs"),
    ("alibabacloud_credentials", "alibabacloud_credentials", "credentials"),
    ("alibabacloud_oss_v2", "alibabacloud_oss_v2", "oss-v2"),
    ("alibabacloud_tea_openapi", "alibabacloud_tea_openapi", "tea-openapi"),
    ("aliyunsdkcore", "aliyunsdkcore", "sdk-core"),
    ("botocore", "botocore", "boto3"),
    ("obstore", "obstore", "obstore"),
    ("oss2", "oss2", "oss2"),
    ("ossfs", "ossfs", "ossfs"),
    ("polars", "polars", "polars"),
]
