"""A Ray driver: reads objects in tasks and in an actor, tells what came of it as JSON, and waits.

Run by tests/integration/test_clusters.py, which has the servers, searches what Ray holds while this
process waits, and then closes its standard input.
"""

from __future__ import annotations

import json
import sys

import ray
from ray import cloudpickle

from ecs_role_creds import EcsRamRoleCredentialsProvider
from support.oss_tasks import Reading, read_object

STORE = 80 * 1024 * 1024  # about the least that Ray takes


def main(scratch: str, oss_endpoint: str, region: str, planted: str) -> None:
    """Use the provider in every way that tasks and actors come by it."""
    provider = EcsRamRoleCredentialsProvider(deadline=60.0)
    provider.get_credentials()  # so that there is something to leak

    def read(provider: EcsRamRoleCredentialsProvider) -> Reading:
        return read_object(provider, oss_endpoint, region)

    def read_captured() -> Reading:
        return read_object(provider, oss_endpoint, region)

    def send_back(provider: EcsRamRoleCredentialsProvider) -> EcsRamRoleCredentialsProvider:
        provider.get_credentials()
        return provider

    def fail(provider: EcsRamRoleCredentialsProvider) -> None:
        credentials = provider.get_credentials()
        print(provider, provider.status(), credentials)
        raise RuntimeError(f"{credentials} in a local variable")

    class Reader:
        def __init__(self, provider: EcsRamRoleCredentialsProvider, planted: str) -> None:
            self._provider = provider
            print(provider, planted)

        def read(self) -> Reading:
            return read(self._provider)

    try:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=STORE,
            _temp_dir=scratch,
        )
    except Exception as error:  # Ray has no class for it
        if "timed out during startup" not in str(error):
            raise
        print(json.dumps({"not started": "Ray gives its processes 30 s to start"}), flush=True)
        return
    task = ray.remote(read)
    stored = ray.put(provider)
    kept = ray.put(planted)  # for as long as the driver waits
    reader = ray.remote(Reader).remote(provider, planted)
    pending = {
        "argument": task.remote(provider),
        "stored": task.remote(stored),
        "captured": ray.remote(read_captured).remote(),
        "sent back": task.remote(ray.remote(send_back).remote(provider)),
        "actor": reader.read.remote(),
    }
    readings: dict[str, Reading] = {name: ray.get(one) for name, one in pending.items()}
    failure = ""
    try:
        ray.get(ray.remote(fail).remote(provider))
    except RuntimeError as error:
        failure = str(error)
    told = {
        "node": ray.util.get_node_ip_address(),
        "read": {name: one.content.decode() for name, one in readings.items()},
        "pids": {name: one.pid for name, one in readings.items()},
        "failure": failure,
        "pickled": cloudpickle.dumps((provider, read_captured, Reader, planted)).hex(),
    }
    print(json.dumps(told), flush=True)
    sys.stdin.read()
    del kept
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
