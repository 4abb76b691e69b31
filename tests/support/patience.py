"""A longer default deadline for providers: a plugin for pytest, in every test run of ours.

A busy machine may take longer than 2 s for an answer over loopback. A test of the deadline passes
its own.
"""

from __future__ import annotations

from functools import partialmethod

from ecs_role_creds import EcsRamRoleCredentialsProvider

# Not by __kwdefaults__: mutmut puts functions without them in the place of __init__.
EcsRamRoleCredentialsProvider.__init__ = partialmethod(  # type: ignore[method-assign, assignment]
    EcsRamRoleCredentialsProvider.__init__, deadline=30.0
)
