"""Metrics in the Prometheus text format, without secrets."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from ecs_role_creds.provider import ProviderStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]


class RequestCounter:
    """Counts requests by endpoint and HTTP status."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, int]] = Counter()

    def add(self, endpoint: str, status: int) -> None:
        """Count one request."""
        with self._lock:
            self._counts[endpoint, status] += 1

    def samples(self) -> list[Sample]:
        """Return all counts with their labels."""
        with self._lock:
            counts = sorted(self._counts.items())
        return [
            ({"endpoint": endpoint, "status": str(status)}, count)
            for (endpoint, status), count in counts
        ]


def render(status: ProviderStatus, requests: Iterable[Sample]) -> str:
    """Return the text that a Prometheus server reads.

    Args:
        status: The status of the provider.
        requests: The counts from :meth:`RequestCounter.samples`.
    """
    role = {"role": status.role_name} if status.role_name else {}
    expiration = status.expiration.timestamp() if status.expiration else 0.0
    metrics: list[tuple[str, str, str, Iterable[Sample]]] = [
        (
            "up",
            "gauge",
            "1 while there are valid credentials.",
            [({}, status.expires_in > 0)],
        ),
        (
            "expires_in_seconds",
            "gauge",
            "Seconds until the credentials expire; 0 without valid credentials.",
            [(role, status.expires_in)],
        ),
        (
            "expiration_timestamp_seconds",
            "gauge",
            "When the credentials expire, in seconds since the epoch; 0 before the first fetch.",
            [(role, expiration)],
        ),
        (
            "next_request_in_seconds",
            "gauge",
            "Seconds until the next request to the metadata service.",
            [({}, status.next_request_in)],
        ),
        (
            "fetches_total",
            "counter",
            "Successful fetches of credentials.",
            [({}, status.fetches)],
        ),
        (
            "rotations_total",
            "counter",
            "Fetches that returned new credentials.",
            [({}, status.rotations)],
        ),
        (
            "fetch_failures_total",
            "counter",
            "Failed fetches.",
            [({}, status.failed)],
        ),
        (
            "consecutive_failures",
            "gauge",
            "Failed fetches since the last successful one.",
            [({}, status.failures)],
        ),
        ("requests_total", "counter", "Requests by endpoint and HTTP status.", requests),
    ]
    return "".join(f"{line}\n" for metric in metrics for line in _lines(*metric))


def _lines(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> Iterator[str]:
    name = f"ecs_role_creds_{name}"
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        # No label needs escaping: role names have no such character, the others are ours.
        shown = ",".join(f'{label}="{text}"' for label, text in labels.items())
        yield f"{name}{{{shown}}} {float(value)!r}" if shown else f"{name} {float(value)!r}"
