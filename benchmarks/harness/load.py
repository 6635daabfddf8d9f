"""wrk: one run of it, and its numbers as a ``Sample``."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.processes import Cores, NotMeasured, Process

CONNECTIONS = 64

# Exact numbers, where wrk's own report rounds them.
DONE = """
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        'SAMPLE {"requests":%d,"microseconds":%d,"bytes":%d,"errors":%d,"timeouts":%d,"bad":%d,"p50":%d,"p99":%d}\\n',
        summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write, e.timeout, e.status,
        latency:percentile(50), latency:percentile(99)))
end
"""
# The requests of several paths, one after the other.
PATHS = """
local paths = {{{paths}}}
local requests, last = {{}}, 0
init = function()
    for index, path in ipairs(paths) do requests[index] = wrk.format(nil, path) end
end
request = function()
    last = last % #requests + 1
    return requests[last]
end
"""
POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("x", {size})
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of the load generator against one server.

    Attributes:
        requests: Requests answered.
        rate: The same a second.
        bytes_rate: Bytes a second, heads included.
        p50: Median latency, in seconds.
        p99: 99th percentile of latency, in seconds.
        cpu: Processor time that the server used for a request, in seconds.
        faults: What went wrong, "" for nothing.
    """

    requests: int
    rate: float
    bytes_rate: float
    p50: float
    p99: float
    cpu: float
    faults: str


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for.

    Attributes:
        port: Where, on the loopback interface.
        paths: Paths, asked for in turn.
        post_size: Each request is a POST of so many bytes; 0 for GET.
    """

    port: int
    paths: tuple[str, ...]
    post_size: int = 0

    def script(self) -> str:
        """Give the script that has wrk ask for that."""
        post = POST.format(size=self.post_size) if self.post_size else ""
        several = PATHS.format(paths=", ".join(json.dumps(path) for path in self.paths)) if self.paths[1:] else ""
        return post + several


def check_wrk() -> str:
    """Give the version of wrk; NotMeasured when it is not there."""
    if shutil.which("wrk") is None:
        raise NotMeasured("wrk is not installed")
    done = subprocess.run(["wrk", "-v"], capture_output=True, text=True, timeout=10, check=False)
    return (done.stdout + done.stderr).split("\n", 1)[0].split(" [", 1)[0]


def run_wrk(process: Process, target: Target, seconds: int, cores: Cores) -> Sample:
    """Load a server for whole ``seconds`` from one thread over 64 keep-alive connections.

    Args:
        process: The server, whose processor time is taken.
        target: What is asked for.
        seconds: How long.
        cores: wrk is pinned to the load core.
    """
    with tempfile.TemporaryDirectory(prefix="bench-wrk-") as folder:
        script = Path(folder, "script.lua")
        script.write_text(target.script() + DONE)
        command = [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
            "--latency",
            "-s",
            str(script),
            f"http://127.0.0.1:{target.port}{target.paths[0]}",
        ]
        before = process.cpu_seconds()
        try:
            done = subprocess.run(
                cores.pin(cores.load, command), capture_output=True, text=True, timeout=seconds + 30, check=False
            )
        except subprocess.TimeoutExpired:
            raise NotMeasured("wrk did not end") from None
        used = process.cpu_seconds() - before
    line = next((line for line in done.stdout.splitlines() if line.startswith("SAMPLE ")), None)
    if line is None:
        raise NotMeasured(f"wrk: {(done.stderr or done.stdout).strip()[:200]}")
    return _sample(json.loads(line[7:]), used)


def _sample(report: dict[str, int], used: float) -> Sample:
    seconds, requests = report["microseconds"] / 1e6, report["requests"]
    faults = [f"{report[key]:,} {what}" for key, what in FAULTS.items() if report[key]]
    if not report["bytes"]:
        raise NotMeasured("no request was answered" + "".join(f", {fault}" for fault in faults))
    return Sample(
        requests=requests,
        rate=requests / seconds,
        bytes_rate=report["bytes"] / seconds,
        p50=report["p50"] / 1e6,
        p99=report["p99"] / 1e6,
        # Of very large answers none may be whole yet.
        cpu=used / max(requests, 1),
        faults=", ".join(faults),
    )


FAULTS = {"errors": "socket errors", "timeouts": "time-outs", "bad": "answers of 400 or more"}
