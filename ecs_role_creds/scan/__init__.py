"""Finds AccessKey pairs that were left in text: in configuration, sources and notebooks."""
