"""For clients that want more than duck typing: one module a client, each importing only its SDK.

Most clients take an :class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` as it is.
"""
