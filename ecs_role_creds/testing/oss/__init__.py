"""The fake OSS: the server, and the verification of signatures."""
