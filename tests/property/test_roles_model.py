"""Any sequence of role commands, with calls that fail anywhere, then run again without failures.

A small model says what the end state has to be. What the commands have nothing to do with must
stay as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ecs_role_creds.roles import CallError, Plan, Retry, RoleManager, oss_policy
from ecs_role_creds.roles.documents import bucket_policy_name
from ecs_role_creds.roles.planning import SETUP_TAG

pytest.importorskip("alibabacloud_openapi_util", reason="the fake verifies signatures with it")
pytest.importorskip("alibabacloud_ecs20140526", reason="the real SDKs make every call")

from support.roles import FlakyApi, changing_calls, connect, manage

from ecs_role_creds.testing import FakeOpenApi

ROLES = ("role-a", "role-b")
BUCKETS = ("bucket-x", "bucket-y")
CLASSIC = "i-classic"
INSTANCES = ("i-1", "i-2", "i-3", CLASSIC)

roles = st.sampled_from(ROLES)
buckets = st.sampled_from(BUCKETS)
accesses = st.sets(st.sampled_from(["read", "list", "write"]), min_size=1).map(frozenset)
instances = st.lists(st.sampled_from(INSTANCES), min_size=1, max_size=4, unique=True)
# Most commands make fewer than 20 calls. Retries give up after three of one kind in a row.
faults = st.dictionaries(
    st.integers(0, 25), st.sampled_from(["dropped", "lost", "throttled", "broken"]), max_size=8
)
Faults = Mapping[int, str]


class RoleCommands(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeOpenApi().start()
        for one in INSTANCES:
            self.fake.add_instance(one, network_type="classic" if one == CLASSIC else "vpc")
        self.manager = manage(self.fake)
        self._make_bystanders()
        self.bystanders = self._look_at_bystanders()
        # The model.
        self.made_by: dict[str, str] = {}
        self.granted: dict[tuple[str, str, str], frozenset[str]] = {}
        self.holders: dict[str, str | None] = dict.fromkeys(INSTANCES)
        self.marks: dict[str, str] = {}

    def teardown(self) -> None:
        self.fake.stop()

    # What the commands have nothing to do with.

    def _make_bystanders(self) -> None:
        self.fake.add_instance("i-bystander", tags={"team": "bystanders"})
        self.manager.apply(self.manager.plan_create("bystander"))
        grant = self.manager.plan_grant_bucket("bystander", "bucket-x", ["read"])
        self.manager.apply(grant)
        self.manager.apply(self.manager.plan_attach("bystander", ["i-bystander"]))

    def _look_at_bystanders(self) -> Any:
        one = self.fake.instances["i-bystander"]
        name = bucket_policy_name("bystander", "bucket-x")
        return deepcopy(
            [
                self.fake.roles["bystander"],
                self.fake.policies["Custom", name].versions,
                (one.role, one.tags, one.is_hardened),
            ]
        )

    def _run(self, plan: Callable[[RoleManager], Plan], faults: Faults) -> Plan:
        """Run a command with failing calls, then without, then once more."""
        retry = Retry(attempts=3, sleep=lambda _: None)
        flaky = RoleManager(FlakyApi(connect(self.fake), faults), retry=retry)
        try:
            first = plan(flaky)
            was_complete = first.is_blocked or flaky.apply(first).is_complete
        except CallError:
            was_complete = False
        before_second = self._snapshot()
        second = plan(self.manager)
        if not second.is_blocked:
            outcome = self.manager.apply(second)
            assert list(outcome.failures) == list(second.failures)
        if was_complete:
            assert self._snapshot() == before_second
        calls = len(changing_calls(self.fake))
        third = plan(self.manager)
        assert not third.steps or third.is_blocked
        assert len(changing_calls(self.fake)) == calls
        return third

    # The commands.

    @rule(role=roles, faults=faults)
    def create(self, role: str, faults: Faults) -> None:
        self._run(lambda manager: manager.plan_create(role), faults)
        self.made_by.setdefault(role, "create")

    @rule(role=roles, bucket=buckets, access=accesses, faults=faults)
    def grant(self, role: str, bucket: str, access: frozenset[Any], faults: Faults) -> None:
        plan = self._run(
            lambda manager: manager.plan_grant_bucket(role, bucket, access, replace=True), faults
        )
        assert plan.is_blocked == (role not in self.made_by)
        if not plan.is_blocked:
            self.granted[role, bucket, "grant"] = access

    @rule(role=roles, bucket=buckets, faults=faults)
    def revoke(self, role: str, bucket: str, faults: Faults) -> None:
        plan = self._run(lambda manager: manager.plan_revoke_bucket(role, bucket), faults)
        assert plan.is_blocked == (role not in self.made_by)
        self.granted.pop((role, bucket, "grant"), None)

    @rule(role=roles, ids=instances, replace=st.booleans(), faults=faults)
    def attach(self, role: str, ids: list[str], replace: bool, faults: Faults) -> None:
        plan = self._run(lambda manager: manager.plan_attach(role, ids, replace=replace), faults)
        assert plan.is_blocked == (role not in self.made_by)
        if plan.is_blocked:
            return
        failed = {one.subject for one in plan.failures}
        for one in ids:
            is_free = self.holders[one] in (None, role)
            assert (one in failed) == (one == CLASSIC or not (is_free or replace))
            if one not in failed and self.holders[one] != role:
                self.holders[one] = role
                self.marks.pop(one, None)

    @rule(ids=instances, faults=faults)
    def detach(self, ids: list[str], faults: Faults) -> None:
        self._run(lambda manager: manager.plan_detach(ids), faults)
        for one in ids:
            self.holders[one] = None
            self.marks.pop(one, None)

    @rule(role=roles, bucket=buckets, access=accesses, ids=instances, faults=faults)
    def set_up(
        self, role: str, bucket: str, access: frozenset[Any], ids: list[str], faults: Faults
    ) -> None:
        self._run(
            lambda manager: manager.plan_setup(role, bucket, access, ids, replace=True), faults
        )
        self.made_by.setdefault(role, "setup")
        self.granted[role, bucket, "setup"] = access
        for one in ids:
            if one != CLASSIC and self.holders[one] != role:
                self.holders[one] = self.marks[one] = role

    @rule(role=roles, only=st.lists(st.sampled_from(INSTANCES), max_size=2), faults=faults)
    def tear_down(self, role: str, only: list[str], faults: Faults) -> None:
        self._run(lambda manager: manager.plan_teardown(role, only), faults)
        for one in only or INSTANCES:
            if self.marks.get(one) == role:
                del self.marks[one]
                if self.holders[one] == role:
                    self.holders[one] = None
        if role in self.holders.values():
            return
        own = [key for key in self.granted if key[0] == role and key[2] == "setup"]
        for key in own:
            del self.granted[key]
        if self.made_by.get(role) == "setup" and not any(key[0] == role for key in self.granted):
            del self.made_by[role]

    @rule(role=roles, faults=faults)
    def delete(self, role: str, faults: Faults) -> None:
        plan = self._run(lambda manager: manager.plan_delete(role), faults)
        is_held = role in self.holders.values()
        assert plan.is_blocked == is_held
        if not is_held:
            self.made_by.pop(role, None)
            self.granted = {key: one for key, one in self.granted.items() if key[0] != role}

    # What has to hold.

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        custom = {name for type, name in self.fake.policies if type == "Custom"}
        own = {bucket_policy_name(*key[:2], made_by=key[2]): key for key in self.granted}
        assert custom - {bucket_policy_name("bystander", "bucket-x")} == set(own)
        assert set(self.fake.roles) - {"bystander"} == set(self.made_by)
        for name, (role, bucket, _) in own.items():
            policy = self.fake.policies["Custom", name]
            assert len(policy.versions) <= 5
            access: Any = self.granted[own[name]]
            assert json.loads(json.dumps(oss_policy(bucket, access))) == policy.document
            assert ("Custom", name) in self.fake.roles[role].policies
        for one in INSTANCES:
            there = self.fake.instances[one]
            assert there.role == self.holders[one]
            assert there.tags.get(SETUP_TAG) == self.marks.get(one)

    @invariant()
    def nothing_else_was_touched(self) -> None:
        assert self._look_at_bystanders() == self.bystanders

    def _snapshot(self) -> Any:
        policies = {key: (one.versions, one.default) for key, one in self.fake.policies.items()}
        there = {key: (one.role, dict(one.tags)) for key, one in self.fake.instances.items()}
        return deepcopy([self.fake.roles, policies, there])


TestRoleCommands = RoleCommands.TestCase
TestRoleCommands.settings = settings(
    max_examples=max(1, int(os.environ.get("MODEL_EXAMPLES", "300")) // 15),
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
