"""The fake metadata service: its behaviour, on a socket, and on the ``responses`` package."""
