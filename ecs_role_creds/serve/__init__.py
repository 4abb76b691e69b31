"""One poller a host: serves the credentials to programs in any language, over loopback HTTP.

``application`` answers requests and opens no socket; ``server`` runs it on waitress; ``listening``
opens the socket; ``client_secrets`` keeps the values that clients authenticate with. Needs the extra
``[serve]``.
"""
