"""A client that takes static keys only, rebuilt at each rotation: OpenDAL's operator."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any

import opendal
from support.client import CONTENT, RecordingOss
from support.plain_http import wait_until

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock

READERS = 4
ROTATIONS = 3
LIFE, LEAD = 21600.0, 1800.0
LONG = 300.0


def operator_for(oss: RecordingOss, credentials: Credentials) -> Any:
    return opendal.Operator(
        "oss",
        bucket="bucket",
        endpoint=oss.endpoint,
        addressing_style="path",
        access_key_id=credentials.access_key_id,
        access_key_secret=credentials.access_key_secret,
        security_token=credentials.security_token,
    )


class Reader(threading.Thread):
    """Reads an object again and again, with whichever operator is there."""

    def __init__(self, operators: list[Any], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._operators = operators
        self._stop_reading = stop
        self.reads = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stop_reading.is_set():
                assert self._operators[-1].read("folder/key") == CONTENT
                self.reads += 1
        except Exception as error:
            self.error = error


def test_operator_is_rebuilt_at_each_rotation_and_no_request_is_refused() -> None:
    clock = VirtualClock(datetime.now(timezone.utc).replace(microsecond=0))
    with FakeMetadataServer(clock=clock) as metadata, RecordingOss(metadata) as oss:
        provider = EcsRamRoleCredentialsProvider(endpoint=metadata.endpoint)
        operators: list[Any] = []
        end = provider.on_rotation(
            lambda credentials: operators.append(operator_for(oss, credentials))
        )
        with provider.polling():
            provider.get_credentials()
            wait_until(lambda: len(operators) == 1, LONG)
            operators[-1].write("folder/key", CONTENT)
            stop = threading.Event()
            readers = [Reader(operators, stop) for _ in range(READERS)]
            for reader in readers:
                reader.start()
            try:
                clock.advance(LEAD)
                for built in range(2, ROTATIONS + 2):
                    read_on(readers)
                    clock.advance(LIFE - 2 * LEAD)  # the service has new credentials from now on
                    provider.refresh()
                    wait_until(lambda built=built: len(operators) == built, LONG)
                    read_on(readers)
                    clock.advance(LEAD)  # the old ones have expired
                read_on(readers)
            finally:
                stop.set()
            for reader in readers:
                reader.join(LONG)
        end()
        metadata.rotate()
        provider.refresh()
        assert len(operators) == ROTATIONS + 1
        assert [reader.error for reader in readers] == [None] * READERS
        assert oss.refused == []
        assert len(set(oss.signers())) == ROTATIONS + 1


def read_on(readers: list[Reader]) -> None:
    """Wait until each reader has begun and ended a read from now on."""
    before = [reader.reads for reader in readers]
    wait_until(
        lambda: all(
            reader.reads >= count + 2 or reader.error is not None
            for reader, count in zip(readers, before, strict=True)
        ),
        LONG,
    )
