"""What is said about an optional package that is not installed."""

from __future__ import annotations

from ecs_role_creds.cli.packages import needs


def test_the_package_and_the_extra_are_named() -> None:
    error = ModuleNotFoundError("No module named 'detect_secrets'", name="detect_secrets.core")
    assert needs("this command", error, "scan") == (
        "this command needs the package detect-secrets: pip install 'ecs-role-creds[scan]'"
    )


def test_the_cause_is_named_where_the_library_has_its_own_message() -> None:
    error = ImportError("FakeOss verifies signatures with alibabacloud-oss-v2: ...")
    error.__cause__ = ModuleNotFoundError("No module", name="alibabacloud_oss_v2.signer")
    assert needs("this command", error, "demo") == (
        "this command needs the package alibabacloud-oss-v2: pip install 'ecs-role-creds[demo]'"
    )


def test_a_package_that_is_there_but_broken() -> None:
    error = ImportError("cannot import name 'HTTPChannel' from 'waitress'", name="waitress.channel")
    assert needs("--keep-fresh", error, "serve") == (
        "--keep-fresh needs the package waitress (cannot import name 'HTTPChannel' from "
        "'waitress'): pip install 'ecs-role-creds[serve]'"
    )


def test_an_error_without_a_name() -> None:
    assert needs("this command", ImportError("broken"), "demo") == (
        "this command needs a package that cannot be imported (broken): "
        "pip install 'ecs-role-creds[demo]'"
    )
