"""The fake OSS: one module for each group of operations; ``table`` lists them all."""

try:
    import alibabacloud_oss_v2.signer
    import crcmod
except ImportError as error:
    raise ImportError(
        "FakeOss verifies signatures with alibabacloud-oss-v2: "
        "pip install 'ecs-role-creds[testing-oss]'"
    ) from error

__all__: list[str] = []
del alibabacloud_oss_v2, crcmod
