"""Fleets, outages and rare calls on a virtual clock; ``run.py`` writes the page."""
