"""The program that starts Ray on this machine, asks its replicas, kills one, and ends all of it: a script."""

import importlib
import json
import os
import signal
import sys
import threading
import time
from typing import Any

__all__: list[str] = []

SETTLED = 50  # requests that are not counted, because the first ones are slow
TRIES = 20
HANGS = 0.2  # seconds


def _started(folder: str, cores: int) -> None:
    """Start Ray with all its files in a folder, for this machine only, without a report to anybody."""
    import ray
    from ray import serve

    ray.init(
        num_cpus=cores,
        num_gpus=0,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100_000_000,
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )
    serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR", "enable_access_log": False})


def _ask(handle: Any, pictures: Any, midway: Any = None) -> tuple[list[int], float, int]:
    """Send all pictures at once, one per request; return labels, seconds, and how many were sent again."""
    begin, again = time.perf_counter(), 0
    waiting = [handle.remote(picture) for picture in pictures]
    labels = []
    for number, (picture, response) in enumerate(zip(pictures, waiting, strict=True)):
        if midway is not None and number == len(pictures) // 5:
            midway()
        for tried in range(TRIES):
            try:
                labels.append(response.result(timeout_s=60))
                break
            except Exception:  # its replica is gone: ask another one
                if tried == TRIES - 1:
                    raise
                again += 1
                response = handle.remote(picture)
    return labels, time.perf_counter() - begin, again


def _end(victim: int) -> None:
    """Let a replica hang, so that it has requests in hand, and then die without a word."""
    os.kill(victim, signal.SIGSTOP)
    timer = threading.Timer(HANGS, os.kill, (victim, signal.SIGKILL))
    timer.daemon = True
    timer.start()


def _main(folder: str, path: str, pictures: str, tried: str) -> None:
    """Measure all pairs of replicas and batch, then kill a replica of the last; print what came of it."""
    import numpy as np
    import ray
    from ray import serve

    digits = importlib.import_module("cluster_app").Digits

    x = np.load(pictures)
    begin = time.perf_counter()
    _started(folder, os.cpu_count() or 1)
    rows: list[dict[str, Any]] = []
    for replicas, batch in json.loads(tried):
        app = digits.options(num_replicas=replicas, ray_actor_options={"num_cpus": 0.1}).bind(path, batch)
        handle = serve.run(app, name="digits", route_prefix=None)
        rows.append({"start": time.perf_counter() - begin})
        _ask(handle, x[:SETTLED])
        labels, seconds, _ = _ask(handle, x)
        rows[-1] |= {"replicas": replicas, "batch": batch, "seconds": seconds, "labels": labels}
    victim = handle.pid.remote().result(timeout_s=60)
    labels, seconds, again = _ask(handle, x, lambda: _end(victim))
    killed = {"seconds": seconds, "labels": labels, "again": again}
    serve.shutdown()
    ray.shutdown()
    told = {"version": f"Ray {ray.__version__}", "rows": rows, "killed": killed}
    print("\n" + json.dumps(told), flush=True)


if __name__ == "__main__":
    sys.path[:] = [sys.argv[2], *json.loads(sys.argv[1])]
    _main(*sys.argv[2:])
