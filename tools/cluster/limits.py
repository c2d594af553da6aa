"""What one scheduler and one client can take: the rates that docs/cluster.md plans 1,000 workers with.

python tools/cluster/limits.py STORE   (a store with points of the size that is planned with)
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from distributed import Client, as_completed

from membench.campaign import Store, Workers
from membench.campaign._claims import Claims
from membench.campaign._points import joined
from membench.record import Record


def echo(number: int, text: str) -> str:
    return text


def tasks_a_second(client: Client, text: str, tasks: int = 2000, ahead: int = 200) -> float:
    """Of tasks that do nothing but bring back a record, given away as points are: some ahead, the next when one lands."""
    client.submit(echo, -1, text, pure=False).result()
    landing = as_completed(
        (client.submit(echo, k, text, pure=False) for k in range(ahead)), loop=client.loop, with_results=True
    )
    started, sent = time.monotonic(), ahead
    for future, _ in landing:
        future.release()
        if sent < tasks:
            landing.add(client.submit(echo, sent, text, pure=False))
            sent += 1
    return tasks / (time.monotonic() - started)


def main() -> None:
    files = sorted(Path(sys.argv[1]).glob("points/*/*.json"))[:200]
    texts = [file.read_text() for file in files]
    text = max(texts, key=len)
    print(f"a point: {sum(map(len, texts)) / len(texts) / 1024:.1f} KiB on average, {len(text) / 1024:.1f} at most")
    with Workers(count=2).opened() as client:
        print(f"scheduler and client: {tasks_a_second(client, text):.0f} tasks/s")
    folder = Path(tempfile.mkdtemp(prefix="membench-limits-"))
    store = Store(folder)
    started = time.monotonic()
    for file, content in zip(files, texts, strict=True):
        store.put_point(file.stem, content)
    print(f"store: {len(files) / (time.monotonic() - started):.0f} points/s written")
    with Claims(folder) as claims:
        started = time.monotonic()
        for file in files:
            claims.take(file.stem)
            claims.release(file.stem)
        print(f"claims: {len(files) / (time.monotonic() - started):.0f} taken and given up a second")
    started = time.monotonic()
    for content in texts:  # as the client does with what a worker sends
        record = Record.from_json(content, "a point")
        joined(record.case, [record])
    print(f"joining: {len(texts) / (time.monotonic() - started):.0f} points/s")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
