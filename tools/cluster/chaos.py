"""A study whose workers are killed every few seconds, and its client twice, gives the records of a quiet run.

python tools/cluster/chaos.py [POINTS [SECONDS]]   (500, and 5 s between two kills, unless told otherwise)
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from study import declare, records


def command(file: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "membench", "study", str(file), "--out", str(out), *more]


def measured(store: Path) -> int:
    """Points that are there."""
    return sum(1 for _ in store.glob("points/*/*.json"))


@dataclass
class Harm:
    """What was done."""

    workers_killed: int = 0
    clients_killed: int = 0
    seconds: float = 0.0


def worker_processes(client: int) -> list[psutil.Process]:
    """The worker processes of a client's own cluster."""
    try:
        children = psutil.Process(client).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def chaotic(wanted: list[str], store: Path, points: int, *, every: float, clients: int = 2, log: Path) -> Harm:
    """Run a study to its end, whatever it takes.

    Args:
        every: seconds between two kills of a worker; the next waits for a point, so that a slow machine gets anywhere at all.
        clients: how often the client is killed, evenly spread over the points.
        log: what the clients say.
    """
    harm, rng, started = Harm(), random.Random(0), time.monotonic()
    moments = [points * (k + 1) // (clients + 1) for k in range(clients)]
    while True:
        with log.open("a", encoding="utf-8") as said:
            client = subprocess.Popen(wanted, stdout=said, stderr=said)
        last, before = time.monotonic(), measured(store)
        while client.poll() is None:
            time.sleep(0.05)
            if moments and measured(store) >= moments[0]:
                moments.pop(0)
                os.kill(client.pid, signal.SIGKILL)
                client.wait()
                harm.clients_killed += 1
            elif time.monotonic() - last > every and before < (now := measured(store)) < points:
                for worker in rng.sample(there := worker_processes(client.pid), min(1, len(there))):
                    worker.kill()
                    harm.workers_killed += 1
                last, before = time.monotonic(), now
        if client.returncode != -signal.SIGKILL:
            harm.seconds = time.monotonic() - started
            if client.returncode:
                raise RuntimeError(f"the client ended with {client.returncode}: {log.read_text()[-2000:]}")
            return harm


def main() -> None:
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    every = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    folder = Path(tempfile.mkdtemp(prefix="membench-chaos-"))
    file = declare(folder, bits=points // 50)
    started = time.monotonic()
    subprocess.run(command(file, folder / "quiet", "--workers", "2"), check=True, capture_output=True)
    quiet = time.monotonic() - started
    harm = chaotic(
        command(file, folder / "chaos", "--workers", "2"), folder / "chaos", points, every=every, log=folder / "log.txt"
    )
    same = records(folder / "quiet") == records(folder / "chaos")
    errors = len(list((folder / "chaos/errors").glob("*.json"))) if (folder / "chaos/errors").is_dir() else 0
    print(
        f"{measured(folder / 'quiet')} points, {len(records(folder / 'quiet'))} records: quiet {quiet:.0f} s; {harm.workers_killed} "
        f"workers and {harm.clients_killed} clients killed {harm.seconds:.0f} s; {errors} errors; records the same: {same}"
    )
    if not same or errors:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
