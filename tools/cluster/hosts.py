"""Two hosts made of network namespaces, with caches of their own, give the records of one. Needs root and iproute2.

python tools/cluster/hosts.py [POINTS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from chaos import command, measured
from study import declare, records

from membench.campaign import status_of

A, B = "10.77.31.1", "10.77.31.2"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them; neither has another network."""
    one, two = f"mb-a-{os.getpid()}", f"mb-b-{os.getpid()}"
    with ExitStack() as stack:
        for name in (one, two):
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("link", "add", "cable", "netns", one, "type", "veth", "peer", "name", "cable", "netns", two)
        for name, address in ((one, A), (two, B)):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            _ip("-n", name, "link", "set", "cable", "up")
        yield one, two


@contextmanager
def running(host: str, cache: Path, log: Path, *arguments: str) -> Iterator[None]:
    """A Dask process on a host, with a cache of its own; it ends with the context."""
    environment = {**os.environ, "MEMBENCH_CACHE": str(cache), "DASK_TEMPORARY_DIRECTORY": str(cache / "dask")}
    dask = [sys.executable, "-m", "dask", *arguments]
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(["ip", "netns", "exec", host, *dask], env=environment, stdout=said, stderr=said)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def registered(log: Path) -> None:
    """Wait for a worker to tell that its scheduler knows it, so that both have work from the start."""
    deadline = time.monotonic() + 120
    while "Registered to" not in log.read_text(encoding="utf-8"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"No scheduler after 120 s: {log.read_text(encoding='utf-8')[-2000:]}")
        time.sleep(0.1)


def across(folder: Path, file: Path) -> dict[str, int]:
    """Run a study from host A on a worker of A and one of B; how often each was seen at work, by its address."""
    seen: dict[str, int] = {}
    with two_hosts() as (one, two), ExitStack() as stack:
        address = f"tcp://{A}:8786"
        scheduler = ("scheduler", "--host", A, "--port", "8786", "--no-dashboard")
        stack.enter_context(running(one, folder / "cache-a", folder / "scheduler.txt", *scheduler))
        for host, ip, cache in ((one, A, "cache-a"), (two, B, "cache-b")):
            worker = ("worker", address, "--host", ip, "--nthreads", "1", "--no-dashboard", "--resources", "memory=4e9")
            stack.enter_context(running(host, folder / cache, folder / f"worker-{ip}.txt", *worker))
        for ip in (A, B):
            registered(folder / f"worker-{ip}.txt")
        environment = {**os.environ, "MEMBENCH_CACHE": str(folder / "cache-client")}
        client = ["ip", "netns", "exec", one, *command(file, folder / "across", "--scheduler", address)]
        with (folder / "client.txt").open("w", encoding="utf-8") as said:
            process = subprocess.Popen(client, env=environment, stdout=said, stderr=said)
        while process.poll() is None:
            time.sleep(0.5)
            if (folder / "across/plan.json").exists():
                for found in status_of(folder / "across").clients:
                    for point in found.in_flight:
                        if point.worker:
                            seen[point.worker.split(":")[1].strip("/")] = seen.get(point.worker.split(":")[1].strip("/"), 0) + 1
        if process.returncode:
            raise RuntimeError((folder / "client.txt").read_text()[-2000:])
    return seen


def main() -> None:
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    folder = Path(tempfile.mkdtemp(prefix="membench-hosts-"))
    file = declare(folder, bits=2, rows=points // 10)
    quiet = {**os.environ, "MEMBENCH_CACHE": str(folder / "cache-client")}  # weights that are trained once
    subprocess.run(command(file, folder / "quiet", "--workers", "1"), check=True, capture_output=True, env=quiet)
    seen = across(folder, file)
    same = records(folder / "quiet") == records(folder / "across")
    fetched = {name: len(list((folder / name / "fetched").glob("*/*.safetensors"))) for name in ("cache-a", "cache-b")}
    print(
        f"{measured(folder / 'across')} points on two hosts, seen at work: {seen}; weights fetched: {fetched}; records the same as on "
        f"one host: {same}"
    )
    if not same or set(seen) != {A, B} or set(fetched.values()) != {1}:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
