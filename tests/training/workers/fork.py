"""Runs jobs in forked processes that really live and die; forking spares each of them the imports.

A job is {"name", "script", "arguments", "processes"}; its processes get a launcher's environment when there are several. Their
outputs go to <out>/<name>-<rank>.out and .err, their exit codes to <out>/codes.json.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import traceback
from pathlib import Path

import tiny

from domainclip.training.deepspeed_engine import import_deepspeed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(job: dict, rank: int, port: int, out: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    for stream, ending in ((1, "out"), (2, "err")):
        os.dup2(os.open(out / f"{job['name']}-{rank}.{ending}", os.O_WRONLY | os.O_CREAT), stream)
    count = job["processes"]
    if count > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    code = 1
    try:
        importlib.import_module(job["script"]).main(job["arguments"])
        code = 0
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(settings: dict) -> None:
    out, codes = Path(settings["out"]), {}
    tiny.torch.set_num_threads(1)
    tiny.build("vit")
    import_deepspeed(tiny.torch.device("cpu"))
    for job in settings["jobs"]:
        port = free_port()
        children = [start(job, rank, port, out) for rank in range(job["processes"])]
        codes[job["name"]] = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        (out / "codes.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    main(tiny.arguments())
