"""One poller a host: serves the credentials to programs in any language, over loopback HTTP.

``application`` answers requests and opens no socket. ``server`` runs it on waitress.
``listening`` opens the socket. ``client_secrets`` keeps what clients authenticate with.
``default_chain`` takes a developer's credentials in place of an instance's. Needs the extra
``[serve]``.
"""
