"""A longer default deadline for providers: a plugin for pytest, in every test run of ours.

A busy machine may take longer than 2 s for an answer over loopback. A test of the deadline passes
its own.
"""

from __future__ import annotations

from ecs_role_creds import EcsRamRoleCredentialsProvider

EcsRamRoleCredentialsProvider.__init__.__kwdefaults__["deadline"] = 30.0
