"""What is wanted and what is there in, steps out."""

from __future__ import annotations

from ecs_role_creds.roles import (
    TRUST_POLICY,
    ChangeStep,
    Instance,
    InstanceStep,
    Plan,
    Policy,
    RamStep,
    Role,
    planning,
)
from ecs_role_creds.roles.planning import SETUP_TAG
from ecs_role_creds.roles.state import AttachedPolicy, PolicyVersion

DOCUMENT = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
OTHER = {"Version": "1", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}


def apis(plan: Plan) -> list[str]:
    return [step.api for step in plan.steps]


def there(*instances: Instance) -> dict[str, Instance]:
    return {one.instance_id: one for one in instances}


def versions(count: int, default: int) -> tuple[PolicyVersion, ...]:
    return tuple(
        PolicyVersion(f"v{number}", number == default, "2030-01-01T00:00:00Z")
        for number in range(1, count + 1)
    )


class TestRole:
    def test_is_created_with_its_mark(self) -> None:
        plan = planning.ensure_role("app", None, made_by="setup", replace=False)
        [step] = plan.steps
        assert isinstance(step, RamStep)
        assert step.api == "CreateRole"
        assert step.parameters["Description"] == "Created by ecs-role-creds role setup for app"
        assert step.document == TRUST_POLICY
        assert not plan.takes_rights

    def test_is_left_alone_as_it_should_be(self) -> None:
        role = Role("app", TRUST_POLICY)
        assert planning.ensure_role("app", role, made_by="create", replace=True).is_unchanged

    def test_with_another_trust_policy_is_a_difference(self) -> None:
        role = Role("app", OTHER)
        plan = planning.ensure_role("app", role, made_by="create", replace=False)
        assert plan.is_blocked
        assert plan.differences[0].actual == OTHER
        assert "--replace" in plan.differences[0].remedy
        replacing = planning.ensure_role("app", role, made_by="create", replace=True)
        assert apis(replacing) == ["UpdateRole"]
        assert replacing.takes_rights

    def test_must_be_there_and_trust_ecs(self) -> None:
        assert planning.require_ecs_role("app", None).is_blocked
        assert planning.require_ecs_role("app", Role("app", OTHER)).is_blocked
        assert planning.require_ecs_role("app", Role("app", TRUST_POLICY)).is_unchanged

    def test_stays_while_instances_have_it(self) -> None:
        role = Role("app", TRUST_POLICY)
        plan = planning.remove_role("app", role, ["i-1", "i-2"])
        assert plan.problems == (
            "Role app is attached to 2 instances. Detach it first: `role detach i-1 i-2`.",
        )
        assert apis(planning.remove_role("app", role, [])) == ["DeleteRole"]


class TestPolicy:
    def test_is_created(self) -> None:
        plan = planning.ensure_policy("p", DOCUMENT, None, description="d", replace=False)
        assert apis(plan) == ["CreatePolicy"]

    def test_with_another_document_is_a_difference(self) -> None:
        policy = Policy("p", "Custom", OTHER, versions=versions(1, 1))
        plan = planning.ensure_policy("p", DOCUMENT, policy, description="d", replace=False)
        assert plan.is_blocked
        assert not plan.steps

    def test_gets_a_new_version(self) -> None:
        policy = Policy("p", "Custom", OTHER, versions=versions(4, 4))
        plan = planning.ensure_policy("p", DOCUMENT, policy, description="d", replace=True)
        assert apis(plan) == ["CreatePolicyVersion"]
        assert plan.takes_rights

    def test_makes_room_for_a_sixth_version(self) -> None:
        policy = Policy("p", "Custom", OTHER, versions=versions(5, 1))
        plan = planning.ensure_policy("p", DOCUMENT, policy, description="d", replace=True)
        assert apis(plan) == ["DeletePolicyVersion", "CreatePolicyVersion"]
        first = plan.steps[0]
        assert isinstance(first, RamStep)
        assert first.parameters["VersionId"] == "v2"  # the oldest that is not in force

    def test_versions_are_ordered_as_numbers(self) -> None:
        same = "2030-01-01T00:00:00Z"
        numbers = (9, 10, 11, 12, 13)
        many = tuple(PolicyVersion(f"v{one}", one == 13, same) for one in numbers)
        policy = Policy("p", "Custom", OTHER, versions=many)
        plan = planning.ensure_policy("p", DOCUMENT, policy, description="d", replace=True)
        first = plan.steps[0]
        assert isinstance(first, RamStep)
        assert first.parameters["VersionId"] == "v9"

    def test_is_deleted_with_its_versions(self) -> None:
        policy = Policy("p", "Custom", OTHER, versions=versions(3, 2), attachments=1)
        role = Role("app", TRUST_POLICY, policies=(AttachedPolicy("p", "Custom"),))
        plan = planning.remove_own_policy(policy, "app", role)
        assert apis(plan) == [
            "DetachPolicyFromRole",
            "DeletePolicyVersion",
            "DeletePolicyVersion",
            "DeletePolicy",
        ]

    def test_is_kept_while_others_have_it(self) -> None:
        policy = Policy("p", "Custom", OTHER, versions=versions(1, 1), attachments=2)
        role = Role("app", TRUST_POLICY, policies=(AttachedPolicy("p", "Custom"),))
        plan = planning.remove_own_policy(policy, "app", role)
        assert apis(plan) == ["DetachPolicyFromRole"]
        assert plan.kept == ("policy p: attached elsewhere too (to users, user groups or roles)",)


class TestInstances:
    def test_each_gets_what_it_needs(self) -> None:
        plan = planning.ensure_attached(
            "app",
            ["i-free", "i-has", "i-other", "i-classic", "i-gone", "i-free"],
            there(
                Instance("i-free"),
                Instance("i-has", role="app"),
                Instance("i-other", role="legacy"),
                Instance("i-classic", is_in_vpc=False),
            ),
        )
        [step] = plan.steps
        assert isinstance(step, InstanceStep)
        assert (step.api, step.instances) == ("AttachInstanceRamRole", ("i-free",))
        assert plan.unchanged == ("instance i-has has role app",)
        assert {one.subject: one.code for one in plan.failures} == {
            "i-gone": "InvalidInstanceId.NotFound",
            "i-classic": "InvalidNetworkType.MismatchRamRole",
            "i-other": "InstanceHasRole",
        }
        assert not plan.takes_rights

    def test_change_goes_by_the_old_role(self) -> None:
        instances = there(
            Instance("i-1", role="one"), Instance("i-2", role="two"), Instance("i-3", role="one")
        )
        plan = planning.ensure_changed("app", list(instances), instances)
        assert plan.steps == (
            ChangeStep(("i-1", "i-3"), "one", "app"),
            ChangeStep(("i-2",), "two", "app"),
        )
        assert plan.takes_rights

    def test_setup_marks_before_it_attaches(self) -> None:
        instances = there(
            Instance("i-1"), Instance("i-2", tags={SETUP_TAG: "app"}), Instance("i-3", role="app")
        )
        plan = planning.ensure_attached("app", list(instances), instances, tag=SETUP_TAG)
        assert apis(plan) == ["TagResources", "AttachInstanceRamRole"]
        assert [getattr(step, "instances", ()) for step in plan.steps] == [("i-1",), ("i-1", "i-2")]

    def test_attach_removes_an_old_mark(self) -> None:
        instances = there(Instance("i-1", tags={SETUP_TAG: "app"}))
        plan = planning.ensure_attached("app", ["i-1"], instances)
        assert apis(plan) == ["UntagResources", "AttachInstanceRamRole"]

    def test_teardown_leaves_what_setup_did_not_attach(self) -> None:
        instances = there(
            Instance("i-1", role="app", tags={SETUP_TAG: "app"}),
            Instance("i-2", role="other", tags={SETUP_TAG: "app"}),
            Instance("i-3", role="app"),
            Instance("i-4", role="other", tags={SETUP_TAG: "other"}),
        )
        plan = planning.undo_setup_on_instances("app", list(instances), instances)
        detach, untag = plan.steps
        assert (detach.api, getattr(detach, "instances", ())) == (
            "DetachInstanceRamRole",
            ("i-1",),
        )
        assert (untag.api, getattr(untag, "instances", ())) == ("UntagResources", ("i-1", "i-2"))
        assert plan.kept == (
            "the role of instance i-3: `role setup` did not attach it; use `role detach`",
        )

    def test_only_open_ones_are_hardened(self) -> None:
        instances = there(Instance("i-1"), Instance("i-2", is_hardened=True))
        plan = planning.ensure_hardened(["i-1", "i-2"], instances)
        [step] = plan.steps
        assert getattr(step, "instances", ()) == ("i-1",)
        assert plan.takes_rights


def test_plans_add_up() -> None:
    step = RamStep("DeleteRole", {"RoleName": "a"}, "delete role a", takes_rights=True)
    one, two = Plan((step,), unchanged=("x",)), Plan(unchanged=("y",), kept=("z",))
    assert one + two == Plan((step,), unchanged=("x", "y"), kept=("z",))
    assert planning.add_up() == Plan()
    assert Plan().is_unchanged
    assert not one.is_unchanged
