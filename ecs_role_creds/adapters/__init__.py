"""Adapters for clients that do not accept a provider, or that need more than one.

There is one module for each client, which imports only that client's SDK. Most clients accept an
:class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` without an adapter.
"""
