"""The sidecar: serves the credentials to programs in any language over HTTP on loopback.

``application`` answers requests and opens no socket. ``server`` runs it on waitress.
``listening`` opens the socket. ``client_secrets`` has the secrets that clients authenticate with.
``default_chain`` serves a developer's own credentials. Needs
``pip install 'ecs-role-creds[serve]'``.
"""
